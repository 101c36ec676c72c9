"""Copies of requests for a candidate: who gets them, that nobody waits for them, and that none is answered from."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from luntra_serving.errors import RequestError
from luntra_serving.server.protocol.request import InferRequest
from luntra_serving.server.shadow import Shadow
from luntra_serving.swap.budget import Budget, Size
from luntra_serving.swap.events import EventLog
from luntra_serving.swap.reclaimer import Reclaimer
from luntra_serving.swap.swapper import Swapper
from luntra_serving.swap.version import Identity
from luntra_serving.telemetry.metrics import ServingMetrics
from tests.serving.swap.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luntra_serving.server.model import ReadyModel

INPUTS = {"x": np.zeros(3, dtype=np.float32)}
REQUEST = InferRequest("r1", INPUTS, ())


class Around:
    """A swapper with a stable version and a candidate whose `infer` is `candidate`; and the shadow of it."""

    def __init__(self, candidate: Callable[[Any], object], shadow: int) -> None:
        self.metrics = ServingMetrics()
        self.reclaimer = Reclaimer()
        self.swapper: Swapper[ReadyModel] = Swapper(
            "m",
            close=lambda _model: None,
            reclaimer=self.reclaimer,
            budget=Budget(Size(host=10)),
            events=EventLog(),
        )
        for name, infer in (("v1", None), ("v2", candidate)):
            model: Any = SimpleNamespace(infer=infer)
            self.swapper.load(identity(name), lambda _steps, model=model: (model, Size())).result(10)  # type: ignore[misc]
            del model
        self.swapper.promote(identity("v1"))
        self.swapper.split(identity("v2"), 0, shadow=shadow)
        self.shadow = Shadow(self.metrics)

    def request(self) -> object:
        """One request to stable, as the server makes it; its answer."""
        handle = self.swapper.acquire()
        encode = self.shadow.beside(self.swapper, handle.version, lambda _request, outputs: ("encoded", outputs))
        try:
            return encode(REQUEST, {})
        finally:
            handle.release()

    def count(self, code: int) -> int:
        counted = self.metrics.shadow_stats.of("m").get(identity("v2"))
        return counted.codes.get(code, 0) if counted else 0

    @property
    def dropped(self) -> float:
        labels = {"model": "m", "version": "v2"}
        return self.metrics.registry.get_sample_value("luntra_shadow_dropped_total", labels) or 0.0


def _wait_for(seen: list[Any], copies: int) -> None:
    eventually(lambda: len(seen) == copies)


def _wait_for_count(server: Around, code: int, copies: int) -> None:
    eventually(lambda: server.count(code) == copies)


def identity(name: str) -> Identity:
    return Identity(name, f"sha256:{name:0>64}")


@pytest.fixture
def around() -> Iterator[Callable[..., Around]]:
    made: list[Around] = []

    def make(candidate: Callable[[Any], object], shadow: int = 100) -> Around:
        made.append(Around(candidate, shadow))
        return made[-1]

    yield make
    for one in made:
        one.reclaimer.stop()


def test_candidate_gets_its_share_of_copies_with_the_requests_tensors(around: Callable[..., Around]) -> None:
    seen: list[Any] = []
    server = around(seen.append, shadow=20)
    for number in range(1, 51):
        assert server.request() == ("encoded", {})
        _wait_for(seen, number // 5)
    assert seen[0] is INPUTS
    assert server.count(200) == 10


def test_candidate_that_hangs_holds_nobody_up_and_what_is_too_much_is_dropped(around: Callable[..., Around]) -> None:
    begun, go = threading.Event(), threading.Event()

    def hang(_inputs: Any) -> None:
        begun.set()
        go.wait(30)

    server = around(hang)
    server.request()
    assert begun.wait(10)
    for _ in range(100):
        assert server.request() == ("encoded", {})
    assert server.dropped == 100 - 16
    server.swapper.promote(identity("v1"))
    assert server.swapper.statuses()[identity("v2")].in_flight == 1
    go.set()
    eventually(lambda: server.swapper.statuses()[identity("v2")].state == "Reclaimed")
    assert server.count(200) == 1, "what waited for a candidate that is gone is not run"


@pytest.mark.parametrize(
    ("error", "code"), [(RequestError(400, "unfit"), 400), (RuntimeError("broken"), 500), (MemoryError(), 500)]
)
def test_candidate_that_fails_is_counted_and_told_once(
    around: Callable[..., Around], error: Exception, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_inputs: Any) -> None:
        raise error

    server = around(fail)
    for number in range(3):
        assert server.request() == ("encoded", {})
        _wait_for_count(server, code, number + 1)
    assert len([one for one in caplog.records if "failed on a copy" in one.message]) == (code == 500)
    assert server.swapper.statuses()[identity("v2")].in_flight == 0


def test_requests_that_the_candidate_answers_itself_are_not_copied(around: Callable[..., Around]) -> None:
    seen: list[Any] = []
    server = around(seen.append)
    server.swapper.split(identity("v2"), 100, shadow=100)
    server.request()
    server.swapper.split(identity("v2"), 0, shadow=0)
    server.request()
    server.swapper.split(identity("v2"), 0, shadow=100)
    server.request()
    eventually(lambda: server.count(200) == 1)
    assert len(seen) == 1
