"""What the swapper itself costs: a request's hold on a version, a promotion, and a rollback asked for over HTTP.

The first two run in this process, beside an empty function call of the same interpreter; a rollback is what an operator
sends to the management port of a server at rest, whose version before is still in memory.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.serving.machine import empty_call, seconds_of
from benchmarks.serving.models import VERSIONS
from benchmarks.serving.peers.luntra import document_for, launch
from benchmarks.serving.process import cores
from benchmarks.serving.results import SwapCost
from benchmarks.serving.windows import quantiles
from e2e.kind.errors import HarnessError
from luntra_serving.swap.budget import Budget, Size
from luntra_serving.swap.events import EventLog
from luntra_serving.swap.reclaimer import Reclaimer
from luntra_serving.swap.swapper import Swapper
from luntra_serving.swap.version import Identity

if TYPE_CHECKING:
    from benchmarks.serving.models import Model
    from luntra_serving.swap.loading import Steps

_ROLLBACKS = 300
_LOAD_SECONDS = 10.0
_CALLS = 20_000
_PROMOTIONS = 500


def swap_cost(model: Model, work: Path) -> SwapCost:
    """Measure. Raises HarnessError if the server cannot be started or refuses."""
    swapper = _swapper()
    first, second = (Identity(version, f"sha256:{version}") for version in ("v1", "v2"))
    for identity in (first, second):
        swapper.load(identity, _load).result(10)
    swapper.promote(first)

    names: dict[str, object] = {"swapper": swapper, "first": first, "second": second}
    rollbacks = _rollbacks(model, work)
    return SwapCost(
        empty_call=empty_call(),
        acquire_release=seconds_of("swapper.acquire().release()", names, _CALLS),
        promote=seconds_of("swapper.promote(second); swapper.promote(first)", names, _PROMOTIONS) / 2,
        rollback_request=round(median(rollbacks), 7),
        rollback_request_p99=quantiles(rollbacks).p99,
    )


def _swapper() -> Swapper[object]:
    return Swapper(
        "points",
        close=lambda _model: None,
        reclaimer=Reclaimer(),
        budget=Budget(Size(host=1 << 30)),
        events=EventLog(),
    )


def _load(_steps: Steps) -> tuple[object, Size]:
    return object(), Size(host=1)


def _rollbacks(model: Model, work: Path) -> list[float]:
    """Seconds from a request to its answer, on one connection, v1 and v2 taking turns; both are in memory."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        server = launch(model, Path(name), cores()[1])
        connection = http.client.HTTPConnection("127.0.0.1", server.management, timeout=10)
        try:
            for generation, version in enumerate(VERSIONS, start=2):
                _put(connection, model, _document(model, generation, version))
                _wait_for(connection, model, version)
            times = []
            for turn in range(_ROLLBACKS):
                version = VERSIONS[turn % len(VERSIONS)]
                body = _document(model, turn + 10, version)
                began = time.perf_counter()
                state = _put(connection, model, body)
                times.append(time.perf_counter() - began)
                if state["stable"] != version:
                    raise HarnessError(f"a rollback to {version} was answered before it was made: {state}")
            return times
        finally:
            connection.close()
            server.process.stop()


def _document(model: Model, generation: int, version: str) -> str:
    return json.dumps(document_for(model, generation, version, revision=version))


def _put(connection: http.client.HTTPConnection, model: Model, body: str) -> dict[str, Any]:
    connection.request("PUT", f"/v1/models/{model.name}", body)
    return _state(connection)


def _wait_for(connection: http.client.HTTPConnection, model: Model, version: str) -> None:
    limit = time.monotonic() + _LOAD_SECONDS
    while time.monotonic() < limit:
        connection.request("GET", f"/v1/models/{model.name}")
        ready = [one for one in _state(connection)["versions"] if one["state"] == "Ready"]
        if any(one["revision"] == version for one in ready):
            return
        time.sleep(0.01)
    raise HarnessError(f"{model.name} {version} was not loaded within {_LOAD_SECONDS:g} s")


def _state(connection: http.client.HTTPConnection) -> dict[str, Any]:
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise HarnessError(f"the management port answered {response.status}: {body[:300]!r}")
    state: dict[str, Any] = json.loads(body)
    return state
