"""Copies of requests for the candidate: what it makes of real traffic, before anybody depends on it.

A copy is made when the stable version has computed its own answer, and only of the tensors. One thread runs the copies, and rests
three times as long as it worked, so they take a quarter of a core at most; a copy that finds the few places before it taken is
dropped and counted. Nobody waits for a copy, and nobody sees its answer.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from luntra_serving.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.server.protocol.request import InferRequest
    from luntra_serving.swap.swapper import Swapper
    from luntra_serving.swap.version import Identity, Version
    from luntra_serving.telemetry.metrics import ServingMetrics

    Inputs = Mapping[str, Array]
    Encode = Callable[[InferRequest, Mapping[str, Array]], Any]

_PLACES = 16
"""Copies that may wait."""
_REST = 3.0
"""Seconds of rest for each second of work, at most `_LONGEST_REST` in a row."""
_LONGEST_REST = 1.0

_log = logging.getLogger(__name__)


class Shadow:
    """One for all models of a process. `beside` is called from the event loop, what it returns from any thread."""

    def __init__(self, metrics: ServingMetrics) -> None:
        self._metrics = metrics
        self._told: Identity | None = None
        self._waiting: queue.Queue[tuple[str, Version[ReadyModel], Inputs]] = queue.Queue(_PLACES)
        threading.Thread(target=self._run, name="shadow", daemon=True).start()

    def beside(self, swapper: Swapper[ReadyModel], answering: Version[ReadyModel], encode: Encode) -> Encode:
        """Return `encode`, which is to offer the candidate a copy of the request if it is this request's turn."""
        route = swapper.route
        candidate = route.candidate
        if candidate is None or not route.shadows(answering):
            return encode

        def encode_and_offer(request: InferRequest, outputs: Mapping[str, Array]) -> Any:
            answer = encode(request, outputs)
            self._offer(swapper.model, candidate, request.inputs)
            return answer

        return encode_and_offer

    def _offer(self, model: str, candidate: Version[ReadyModel], inputs: Inputs) -> None:
        try:
            self._waiting.put_nowait((model, candidate, inputs))
        except queue.Full:
            self._metrics.shadow_dropped(model, candidate.identity.version)

    def _run(self) -> None:
        while True:
            model, candidate, inputs = self._waiting.get()
            seconds = self._ask(model, candidate, inputs)
            del candidate, inputs
            time.sleep(min(_REST * seconds, _LONGEST_REST))

    def _ask(self, model: str, candidate: Version[ReadyModel], inputs: Inputs) -> float:
        """Run one copy; return the seconds that it took."""
        handle = candidate.hold()
        if handle is None:
            return 0.0  # it is the candidate no more
        began, code = time.perf_counter(), 200
        try:
            handle.model.infer(inputs)
        except RequestError as error:
            code = error.status
        except Exception:  # noqa: BLE001 - whatever a model's library raises, it is the candidate's failure
            code = 500
            if self._told != candidate.identity:
                self._told = candidate.identity
                fields = {"model": model, "version": candidate.identity.version, "more": "is counted, not logged"}
                _log.warning("the candidate failed on a copy of a request", exc_info=True, extra=fields)
        finally:
            handle.release()
        seconds = time.perf_counter() - began
        self._metrics.shadow_stats.begin(model, candidate.identity).end(code, seconds)
        return seconds
