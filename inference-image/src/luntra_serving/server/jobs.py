"""Requests in work: decode, infer together, encode. Knows neither the wire form nor where it runs.

What it costs is told to the model's pace, and to each request. A defect of one request, of its encoding or of the model on it,
is that request's alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from luntra_serving.server.batching import infer_all
from luntra_serving.telemetry.stats import Execution, Spent

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.server.protocol.request import InferRequest


class Job:
    """One request for one model.

    `done` gets what `encode` returned or the error, once, on the event loop; neither if the client was gone before it began.
    And, if it ran, where its time went.
    The model is held by the job alone, and dropped with it.
    """

    __slots__ = (
        "_decode",
        "_done",
        "_encode",
        "asked",
        "error",
        "finished",
        "limit",
        "model",
        "request",
        "result",
        "spent",
        "timer",
        "wanted",
        "within",
    )

    request: InferRequest
    """Set by `begin`, if it says that there is something to infer."""

    def __init__(
        self,
        model: ReadyModel,
        decode: Callable[[], InferRequest],
        encode: Callable[[InferRequest, Mapping[str, Array]], Any],
        done: Callable[[Any, Exception | None, Spent | None], None],
        wanted: Callable[[], bool],
    ) -> None:
        self.model, self._decode, self._encode, self._done, self.wanted = model, decode, encode, done, wanted
        self.within = self.asked = self.limit = 0.0
        """Seconds that it was given; and by time.monotonic, since when it waits, and when it may begin at the latest."""
        self.timer: asyncio.TimerHandle | None = None
        self.result: Any = None
        self.error: Exception | None = None
        self.spent: Spent | None = None
        self.finished = False

    def begin(self) -> bool:
        """Decode the request, unless it is too late; whether there is something to infer."""
        if self.finished or time.monotonic() >= self.limit or not self.wanted():
            return False
        try:
            self.request = self._decode()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a request, the one who asked is told
            self.error = error
        return self.error is None

    def end(self, outputs: Mapping[str, Array] | Exception) -> None:
        """Encode the outputs, or take note of why there are none."""
        if isinstance(outputs, Exception):
            self.error = outputs
            return
        try:
            self.result = self._encode(self.request, outputs)
        except Exception as error:  # noqa: BLE001 - whatever cannot be written, the one who asked is told
            self.error = error

    @property
    def over(self) -> bool:
        """Whether it came to something, or was not wanted when its turn came; what was too late by then is late, wanted or not.

        A version that hangs must not look well because its clients lose their patience.
        """
        if self.result is not None or self.error is not None:
            return True
        return not self.wanted() and time.monotonic() < self.limit

    def finish(self, error: Exception | None = None) -> None:
        """On the event loop: pass on what came of it, unless that has happened."""
        # The traceback of an error knows this job, and through it the model: a cycle would keep both.
        error, self.error = error or self.error, None
        if self.finished:
            return
        self.finished = True
        if self.timer is not None:
            self.timer.cancel()
        self._done(None if error else self.result, error, self.spent)


def run(jobs: Sequence[Job], max_rows: int) -> int:
    """Run jobs of one model, joining them up to `max_rows` rows; return how many were inferred."""
    began, computed = time.monotonic(), time.thread_time()
    ready = [job for job in jobs if job.begin()]
    if ready:
        model = ready[0].model
        inputs = [job.request.inputs for job in ready]
        decoded = encoded = time.monotonic()
        for outcomes in infer_all(model.infer, inputs, max_rows if model.joinable else 1):
            inferred = time.monotonic()
            execution = Execution(len(outcomes), input=decoded - began, infer=inferred - encoded)
            for index, outputs in outcomes.items():
                job = ready[index]
                job.spent = Spent(began - job.asked, execution)
                job.end(outputs)
            encoded = time.monotonic()
            execution.output = encoded - inferred
        model.pace.observe(encoded - began, time.thread_time() - computed, len(ready))
    return len(ready)
