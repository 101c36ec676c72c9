"""The demo's client against a real small server: its rate, its honesty, and how it stops."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestServer

from e2e.demo.client import Load
from e2e.demo.protocol import interface_of, prediction, requests
from e2e.demo.records import Answer, Tail, line, read_answers
from luntra_operator.checks.dataset import LabelledSet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

METADATA = {
    "name": "digits",
    "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 3]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}],
}


class Server:
    """Answers with the row as scores; `spoil` may answer a request, by its number, differently."""

    def __init__(self) -> None:
        self.spoil: Callable[[int, web.Request], web.StreamResponse | None] = lambda number, request: None
        self.seen: list[tuple[str | None, list[float]]] = []
        self.hosts: set[str] = set()
        self.connections: set[Any] = set()
        self.delay = 0.0
        self.fifth = asyncio.Event()

    async def metadata(self, request: web.Request) -> web.Response:
        return web.json_response(METADATA)

    async def infer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        length = request.headers.get("Inference-Header-Content-Length")
        tensor = json.loads(body[: int(length)] if length else body)["inputs"][0]
        row = np.frombuffer(body[int(length) :], np.float32).tolist() if length else tensor["data"]
        assert (tensor["name"], tensor["shape"]) == ("pixels", [1, 3])
        number = len(self.seen)
        self.seen.append((length, row))
        if number == 4:
            self.fifth.set()
        self.hosts.add(request.host)
        self.connections.add(request.transport)
        await asyncio.sleep(self.delay)
        return self.spoil(number, request) or good(row)


def good(row: list[float], version: str = "v1") -> web.Response:
    outputs = [{"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": row}]
    return web.json_response({"outputs": outputs}, headers={"x-model-version": version})


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    behaviour = Server()
    application = web.Application()
    application.router.add_get("/v2/models/digits", behaviour.metadata)
    application.router.add_post("/v2/models/digits/infer", behaviour.infer)
    async with TestServer(application) as running:
        yield behaviour, str(running.make_url(""))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.npz"
    np.savez(path, images=np.eye(3, dtype=np.float64), labels=np.array([0, 1, 2]))
    return path


async def answers_of(url: str, rows: Path, tmp_path: Path, **options: Any) -> list[Answer]:
    out = tmp_path / "out" / "answers.jsonl"
    await Load(url, "digits", rows, **{"rate": 200, "limit": 0.1, "out": out, **options}).run()
    return read_answers(out)


async def test_rows_are_asked_in_turn_and_answers_written_down(
    server: tuple[Server, str], rows: Path, tmp_path: Path
) -> None:
    behaviour, url = server
    answers = await answers_of(url, rows, tmp_path)
    assert len(answers) == 20
    assert {(a.status, a.version, a.error) for a in answers} == {(200, "v1", "")}
    assert sorted(a.label for a in answers) == sorted(n % 3 for n in range(20))
    assert all(a.predicted == a.label and a.latency > 0 for a in answers)
    assert {length is None for length, _ in behaviour.seen} == {True, False}, "JSON and binary tensors"


async def test_the_rate_is_the_declared_one_however_slow_the_answers(
    server: tuple[Server, str], rows: Path, tmp_path: Path
) -> None:
    server[0].delay = 0.2
    answers = await answers_of(server[1], rows, tmp_path, rate=50, limit=0.4)
    assert len(answers) == 20
    sent = sorted(a.at for a in answers)
    assert sent[-1] - sent[0] == pytest.approx(19 / 50, abs=0.15)
    assert min(a.latency for a in answers) >= 0.19


async def test_connections_are_kept_open(server: tuple[Server, str], rows: Path, tmp_path: Path) -> None:
    await answers_of(server[1], rows, tmp_path, rate=50, limit=0.4)
    assert len(server[0].connections) <= 3


async def test_the_host_header_is_the_routes(server: tuple[Server, str], rows: Path, tmp_path: Path) -> None:
    await answers_of(server[1], rows, tmp_path, host="digits.example")
    assert server[0].hosts == {"digits.example"}


def wrong_shape(row: Any) -> web.Response:
    outputs = [{"name": "scores", "datatype": "FP32", "shape": [2, 3], "data": [0, 1, 0, 0, 1, 0]}]
    return web.json_response({"outputs": outputs}, headers={"x-model-version": "v1"})


@pytest.mark.parametrize(
    ("spoilt", "status", "text"),
    [
        (lambda request: web.Response(status=503, text="no healthy upstream"), 503, "status 503: no healthy upstream"),
        (lambda request: web.json_response({"outputs": []}), 200, "no x-model-version header"),
        (wrong_shape, 200, "expected one output of one row"),
        (lambda request: web.Response(text="hello", headers={"x-model-version": "v1"}), 200, "JSONDecodeError"),
        (lambda request: request.transport.abort(), 0, "ServerDisconnectedError"),
    ],
    ids=["status", "version", "shape", "body", "connection"],
)
async def test_anything_but_a_good_answer_is_an_error_and_is_not_retried(
    server: tuple[Server, str], rows: Path, tmp_path: Path, spoilt: Any, status: int, text: str
) -> None:
    behaviour, url = server
    behaviour.spoil = lambda number, request: spoilt(request) if number == 4 else None
    out = tmp_path / "answers.jsonl"
    load = Load(url, "digits", rows, rate=200, out=out, limit=0.1)
    await load.run()
    bad = [a for a in read_answers(out) if a.error]
    assert [(a.status, a.predicted) for a in bad] == [(status, None)]
    assert text in bad[0].error
    assert (load.requests, load.errors, len(behaviour.seen)) == (20, 1, 20)


async def test_it_stops_when_told_and_waits_for_what_it_sent(
    server: tuple[Server, str], rows: Path, tmp_path: Path
) -> None:
    server[0].delay = 0.1
    out = tmp_path / "answers.jsonl"
    load = Load(server[1], "digits", rows, rate=100, out=out, limit=60)
    running = asyncio.create_task(load.run())
    async with asyncio.timeout(10):
        await server[0].fifth.wait()
        load.stop()
        await running
    assert len(read_answers(out)) == len(server[0].seen) < 100


async def test_a_model_that_is_not_there_is_said_before_the_load_begins(
    server: tuple[Server, str], rows: Path, tmp_path: Path
) -> None:
    with pytest.raises(ClientError, match="404"):
        await Load(server[1], "letters", rows, rate=1, out=tmp_path / "a", limit=1).run()


async def test_the_process_stops_at_sigterm_and_counts_its_errors(
    server: tuple[Server, str], rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    options = ["--url", server[1], "--model", "digits", "--rows", str(rows), "--rate", "100", "--out", str(out)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "e2e.demo.client", *options, stdout=subprocess.PIPE
    )
    tail, seen = Tail(out), 0
    deadline = time.monotonic() + 30
    while seen < 10 and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        seen += len(tail.new())
    process.send_signal(signal.SIGTERM)
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.decode() == f"{len(read_answers(out))} requests, 0 errors\n"


def test_a_line_that_is_being_written_is_read_when_it_is_complete(tmp_path: Path) -> None:
    path, answer = tmp_path / "a.jsonl", Answer(1.0, 0.1, 200, "v1", 3, 3)
    tail = Tail(path)
    assert tail.new() == []
    text = line(answer)
    path.write_text(text + text[:10])
    assert tail.new() == [answer]
    assert tail.new() == []
    path.write_text(text + text)
    assert tail.new() == [answer]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([{"name": "s", "datatype": "FP32", "shape": [1, 3], "data": [0.1, 0.2, 0.7]}], 2),
        ([{"name": "s", "datatype": "FP32", "shape": [1, 3], "data": [[0.1, 0.8, 0.1]]}], 1),
        (
            [
                {"name": "s", "datatype": "FP32", "shape": [1, 2], "data": [1, 0]},
                {"name": "label", "datatype": "INT64", "shape": [1], "data": [7]},
            ],
            7,
        ),
    ],
)
def test_a_prediction_is_the_class_number_or_the_largest_score(outputs: Any, expected: int) -> None:
    assert prediction(json.dumps({"outputs": outputs}).encode()) == expected


@pytest.mark.parametrize(
    "outputs",
    [
        None,
        [],
        [{"name": "s"}],
        [{"name": "s", "datatype": "FP32", "shape": [1, 3], "data": [0.1]}],
        [{"name": "s", "datatype": "FP32", "shape": [1, 0], "data": []}],
        [{"name": "s", "datatype": "FP32", "shape": [1, 1], "data": [float("nan")]}],
        [{"name": "s", "datatype": "FP32", "shape": [1, 1], "data": ["x"]}],
        [{"name": n, "datatype": "FP32", "shape": [1, 1], "data": [1]} for n in "ab"],
    ],
)
def test_an_answer_of_another_shape_is_no_prediction(outputs: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|output|not an answer"):
        prediction(json.dumps({"outputs": outputs}).encode())


def test_rows_of_a_single_input_need_no_right_name() -> None:
    made = requests(LabelledSet({"images": np.eye(3)}, np.array([2, 1, 0])), interface_of(METADATA))
    assert [one.label for one in made] == [2, 1, 0]
    assert json.loads(made[0].body)["inputs"][0]["name"] == "pixels"
