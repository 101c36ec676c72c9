"""Requests that nobody would send: mutated bytes against the whole inference port, in process, and against what reads feedback.

LUNTRA_FUZZ_INPUTS sets how many.

Every answer must be one of the protocol's, nothing may be raised, and at the end no version may be held by anybody.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from luntra_serving.errors import RequestError
from luntra_serving.server.admission import Admission
from luntra_serving.server.connection import Connection
from luntra_serving.server.dataplane import DataPlane, Readiness
from luntra_serving.server.desired import identity_of
from luntra_serving.server.feedback import read_feedback
from luntra_serving.server.listener import Listener
from luntra_serving.server.loading import document_of
from luntra_serving.server.models import Models
from luntra_serving.server.settings import Settings
from luntra_serving.server.shadow import Shadow
from luntra_serving.swap.events import EventLog
from luntra_serving.telemetry.feedback import Feedback
from luntra_serving.telemetry.metrics import ServingMetrics

if TYPE_CHECKING:
    from luntra_serving.bundle.verify import Bundle

INPUTS = int(os.environ.get("LUNTRA_FUZZ_INPUTS", "10000"))
STATUSES = {100, 200, 400, 404, 405, 408, 413, 429, 431, 500, 503, 504}
_TENSOR = {"name": "points", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 1.0, 2.0]}
_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    1e400,
    "",
    "points",
    "FP32",
    "\ud800",
    [],
    {},
    [[]],
    [1, 3],
    [-1],
    [2**40],
    [[1, 2], 3],
]
_WORDS = [b"points", b"v1", b"infer", b"ready", b"%00", b"..", b"", b"versions", b"\xff", b"x" * 300]


class Client:
    """The other end of a connection."""

    def __init__(self, listener: Listener) -> None:
        self.written = b""
        self.closed = False
        self.connection = Connection(listener)
        transport: Any = self
        self.connection.connection_made(transport)

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading

    def get_extra_info(self, _name: str) -> None:
        return None


def document(chance: random.Random) -> Any:
    """A request's JSON with one to three things wrong, or none."""
    tensor = dict(_TENSOR)
    request: dict[str, Any] = {"inputs": [tensor], "id": "7"}
    for _ in range(chance.randrange(4)):
        place = chance.choice([tensor, request])
        key = chance.choice([*place, "parameters", "outputs", "x"])
        place[key] = chance.choice([*_VALUES, {"binary_data_size": chance.choice([0, 12, -1, "1"])}])
    return request


def message(chance: random.Random) -> bytes:
    """One request, mostly a reasonable one, then mutated."""
    body = json.dumps(document(chance)).encode()
    parts = [b"v2", b"models", chance.choice([b"points", *_WORDS]), chance.choice([b"infer", *_WORDS])]
    if chance.random() < 0.2:
        parts[3:3] = [b"versions", chance.choice(_WORDS)]
    head = [b"%b /%b HTTP/1.1" % (chance.choice([b"POST", b"GET", b"PUT"]), b"/".join(parts)), b"Host: x"]
    if chance.random() < 0.2:
        head.append(b"Inference-Header-Content-Length: %d" % chance.choice([0, 1, len(body), 10**9]))
    if chance.random() < 0.1:
        head.append(b"x-request-deadline: " + chance.choice([b"1s", b"0", b"-1s", b"1e9s", b"\xff"]))
    head.append(b"Content-Length: %d" % (len(body) + chance.choice([0] * 9 + [-1, 5])))
    content = bytearray(b"\r\n".join(head) + b"\r\n\r\n" + body)
    if chance.random() < 0.4:
        for _ in range(chance.randrange(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
    if chance.random() < 0.1:
        del content[chance.randrange(len(content)) :]
    return bytes(content)


async def send(listener: Listener, chance: random.Random) -> list[int]:
    """One connection with up to three requests in pieces; the statuses of its answers."""
    client = Client(listener)
    stream = b"".join(message(chance) for _ in range(chance.randrange(1, 4)))
    size = chance.choice([7, 64, 100_000])
    for start in range(0, len(stream), size):
        client.connection.data_received(stream[start : start + size])
    for _ in range(2000):
        if client.closed or client.connection.idle or client.connection.since is not None:
            break
        await asyncio.sleep(0)
    client.connection.connection_lost(None)
    return [int(part[:3]) for part in client.written.split(b"HTTP/1.1 ")[1:]]


def feedback(chance: random.Random) -> bytes:
    """A request that says something of answers, with some things wrong, or none."""
    entries: list[Any] = []
    for _ in range(chance.choice([0, 1, 1, 1, 2, 120])):
        entry: Any = {"id": f"{chance.choice(['a', 'b', 'c.d'])}.{chance.getrandbits(64):016x}", "correct": True}
        if chance.random() < 0.1:
            place = chance.choice(["id", "correct", "reward", "prediction", "truth", "x"])
            entry[place] = chance.choice([*_VALUES, 0.5, [True], dict(entry)])
        entries.append(entry if chance.random() < 0.99 else chance.choice(_VALUES))
    content = bytearray(json.dumps(entries[0] if len(entries) == 1 else entries).encode())
    for _ in range(chance.choice([0, 0, 0, 1, 3])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


async def test_mutated_feedback_is_counted_or_refused() -> None:
    chance, told, outcomes = random.Random(7), Feedback(), Counter[int]()
    for _ in range(INPUTS // 10):
        try:
            outcomes[200] += told.take(await read_feedback(feedback(chance))).counted > 0
        except RequestError as error:
            outcomes[error.status] += 1
    assert outcomes.keys() == {200, 422}
    assert min(outcomes.values()) > INPUTS // 100, "the inputs are too wild, or too tame, to find anything"
    assert len(told.items()) <= 64


async def test_mutated_requests_never_break_the_server(points: Bundle) -> None:
    metrics = ServingMetrics()
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    settings = Settings(bundles=(points.folder,), threads=1)
    models = Models(settings, EventLog(), lambda: loop.call_soon_threadsafe(changed.set))
    served = models.add(document_of(points), needed=True)
    served.desired.step()
    await asyncio.wait_for(changed.wait(), 30)
    identity, swapper = identity_of(served.desired.document.stable), served.swapper
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: raised.append(context))
    plane = DataPlane(
        models=models,
        admission=Admission(workers=1, max_queue=64, max_batch=8),
        metrics=metrics,
        readiness=Readiness(),
        shadow=Shadow(metrics),
        deadline=10,
    )
    listener = Listener(plane, max_body=2000)
    chance, seen, sent = random.Random(7), set[int](), 0
    while sent < INPUTS:
        statuses = await send(listener, chance)
        seen.update(statuses)
        sent += max(1, len(statuses))
    assert seen <= STATUSES
    assert {200, 400, 404, 405} <= seen, "the inputs are too wild, or too tame, to find anything"
    assert raised == []
    for _ in range(1000):
        if not swapper.statuses()[identity].in_flight:
            break
        await asyncio.sleep(0.01)
    assert swapper.statuses()[identity].in_flight == 0
    assert listener.connections == 0
