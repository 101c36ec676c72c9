"""Requests without a wire, for a model that tells what it was asked: for the tests of what lies between the two."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from luntra_serving.server.jobs import Job
from luntra_serving.server.pace import Pace
from luntra_serving.server.protocol.request import InferRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luntra_serving.server.admission import Admission
    from luntra_serving.telemetry.stats import Spent


class Model:
    """Answers its input; `sizes` are the rows of each run, `threads` where they happened."""

    joinable = True

    def __init__(self) -> None:
        self.pace = Pace()
        self.sizes: list[int] = []
        self.threads: list[int] = []
        self.inside = 0
        self.go = threading.Event()
        self.begun = threading.Event()
        self.go.set()

    def infer(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        self.inside += 1
        self.begun.set()
        assert self.go.wait(10)
        self.inside -= 1
        self.sizes.append(len(inputs["x"]))
        self.threads.append(threading.get_ident())
        return {"x": inputs["x"]}

    def make_quick(self) -> None:
        for _ in range(50):
            self.pace.observe(0.00001, 0.00001)


class Asked:
    """One request of a value, and what came of it."""

    def __init__(
        self,
        admission: Admission,
        model: Any,
        value: float,
        *,
        within: float = 10,
        small: bool = True,
        wanted: bool = True,
    ) -> None:
        self.outcomes: list[Any] = []
        self.spent: Spent | None = None
        self.ended = asyncio.Event()
        self.wanted = wanted
        request = InferRequest(None, {"x": np.array([[value]])}, ())
        job = Job(
            model,
            decode=lambda: request,
            encode=lambda _request, outputs: outputs["x"].tolist(),
            done=self._done,
            wanted=lambda: self.wanted,
        )
        admission.submit(job, within=within, small=small)

    def _done(self, result: Any, error: Exception | None, spent: Spent | None) -> None:
        self.spent = spent
        self.outcomes.append(error or result)
        self.ended.set()

    async def outcome(self) -> Any:
        async with asyncio.timeout(10):
            await self.ended.wait()
        [outcome] = self.outcomes
        return outcome
