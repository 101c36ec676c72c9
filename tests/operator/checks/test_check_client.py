"""What a server's misbehaviour means to a check: not there (wait), or refused (evidence)."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np
import pytest

from luntra_operator.checks.errors import Refused, ServerError, Unavailable
from luntra_operator.checks.triton import connect

ROW = {"x": np.eye(4, dtype=np.float32)[:1]}


async def both_calls(url: str, expected: type[ServerError], text: str) -> None:
    async with connect(url, "digits", request_timeout=5, connections=1) as server:
        for call in (server.interface, lambda: server.infer(ROW)):
            with pytest.raises(expected, match=text):
                await call()


@pytest.mark.parametrize(
    ("status", "meaning"), [(503, Unavailable), (500, Refused), (404, Refused), (400, Refused), (504, Refused)]
)
async def test_only_a_503_is_worth_waiting_for(serve: Any, status: int, meaning: type[ServerError]) -> None:
    server = serve()
    server.status = server.metadata_status = lambda number: status
    await both_calls(server.url, meaning, f"answered {status}: ")


async def test_nobody_there_is_worth_waiting_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        await both_calls(f"http://127.0.0.1:{taken.getsockname()[1]}", Unavailable, "cannot be reached")


async def test_an_answer_that_takes_too_long_is_refused(serve: Any) -> None:
    server = serve()
    server.delay = 1.0
    async with connect(server.url, "digits", request_timeout=0.2, connections=1) as model:
        with pytest.raises(Refused, match=r"no answer within 0\.2 s"):
            await model.infer(ROW)


async def test_an_answer_that_is_not_of_the_protocol_is_refused(serve: Any) -> None:
    server = serve()
    server.encode = lambda outputs: (
        {},
        b'{"outputs": [{"name": "scores", "datatype": "FP32", "shape": [9], "data": []}]}',
    )
    async with connect(server.url, "digits", request_timeout=5, connections=1) as model:
        with pytest.raises(Refused, match="unreadably"):
            await model.infer(ROW)


async def test_tensors_come_back_as_they_were_sent(serve: Any) -> None:
    server = serve(lambda inputs: {"scores": inputs["x"] * 2})
    async with connect(f"{server.url}/", "digits", request_timeout=5, connections=1) as model:
        interface = await model.interface()
        assert str(interface.inputs[0]) == "x (FP32 [-1, 4])"
        assert (await model.infer(ROW))["scores"].tolist() == [[2, 0, 0, 0]]
