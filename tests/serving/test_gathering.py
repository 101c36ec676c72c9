"""Requests that wait for company: for whom, for how long, and that none is forgotten."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from luntra_serving.errors import RequestError
from luntra_serving.server.admission import Admission
from tests.serving.asking import Asked, Model
from tests.serving.processes import ServerProcess, post

if TYPE_CHECKING:
    from luntra_serving.bundle.verify import Bundle

FOREVER = 60.0
"""A delay that no test waits for."""
PATIENT = 10 * FOREVER


@pytest.fixture
def model() -> Model:
    return Model()


async def test_requests_that_arrive_within_the_delay_run_together(model: Model) -> None:
    admission = Admission(workers=2, max_queue=100, max_batch=32, batch_delay=0.05)
    asked = []
    for value in range(3):
        asked.append(Asked(admission, model, value))
        await asyncio.sleep(0)
    assert [await one.outcome() for one in asked] == [[[0.0]], [[1.0]], [[2.0]]]
    assert model.sizes == [3]


async def test_request_that_nobody_joins_waits_for_the_delay_and_no_longer(model: Model) -> None:
    admission = Admission(workers=1, max_queue=100, max_batch=32, batch_delay=0.05)
    for value in (1, 2):
        began = time.monotonic()
        await Asked(admission, model, value).outcome()
        assert time.monotonic() - began >= 0.049
    assert model.sizes == [1, 1]
    assert admission.waiting == 0


async def test_full_batch_does_not_wait(model: Model) -> None:
    admission = Admission(workers=1, max_queue=100, max_batch=3, batch_delay=FOREVER)
    asked = [Asked(admission, model, value, within=PATIENT) for value in range(6)]
    assert [await one.outcome() for one in asked] == [[[float(value)]] for value in range(6)]
    assert model.sizes == [3, 3]


@pytest.mark.parametrize(("joinable", "max_batch"), [(False, 32), (True, 1)])
async def test_who_cannot_have_company_does_not_wait_for_it(model: Model, joinable: bool, max_batch: int) -> None:
    model.joinable = joinable
    admission = Admission(workers=1, max_queue=100, max_batch=max_batch, batch_delay=FOREVER)
    assert await Asked(admission, model, 1, within=PATIENT).outcome() == [[1.0]]


async def test_request_without_the_time_to_wait_goes_at_once_and_takes_the_others_along(model: Model) -> None:
    admission = Admission(workers=1, max_queue=100, max_batch=32, batch_delay=FOREVER)
    asked = [Asked(admission, model, 0, within=PATIENT), Asked(admission, model, 1, within=1.9 * FOREVER)]
    assert [await one.outcome() for one in asked] == [[[0.0]], [[1.0]]]
    assert model.sizes == [2]


async def test_request_joins_at_once_those_that_wait_for_a_thread(model: Model) -> None:
    admission = Admission(workers=1, max_queue=100, max_batch=32, batch_delay=FOREVER)
    model.go.clear()
    asked = [Asked(admission, model, 0)]
    await asyncio.to_thread(model.begun.wait, 10)
    asked += [Asked(admission, model, 1), Asked(admission, model, 2, within=PATIENT)]
    model.go.set()
    assert [await one.outcome() for one in asked] == [[[0.0]], [[1.0]], [[2.0]]]
    assert model.sizes == [1, 2]


async def test_deadline_holds_for_a_request_that_waited_for_company(model: Model) -> None:
    admission = Admission(workers=1, max_queue=100, max_batch=32, batch_delay=0.01)
    model.go.clear()
    running = Asked(admission, model, 0)
    await asyncio.to_thread(model.begun.wait, 10)
    late = await Asked(admission, model, 1, within=0.05).outcome()
    assert isinstance(late, RequestError)
    assert late.status == 504
    model.go.set()
    await running.outcome()
    await Asked(admission, model, 2).outcome()
    assert model.sizes == [1, 1], "the late one ran"
    assert admission.waiting == 0


@pytest.mark.parametrize(("delay", "max_batch", "here"), [(0.0, 32, True), (0.01, 32, False), (0.01, 1, True)])
async def test_quick_model_answers_on_the_event_loop_only_if_nobody_may_wait(
    model: Model, delay: float, max_batch: int, here: bool
) -> None:
    model.make_quick()
    await Asked(Admission(workers=1, max_queue=0, max_batch=max_batch, batch_delay=delay), model, 1).outcome()
    assert (model.threads == [threading.get_ident()]) is here


def test_server_waits_as_long_as_its_command_line_says(points: Bundle) -> None:
    tensor = {"name": "points", "datatype": "FP32", "shape": [1, 3], "data": [0, 1, 2]}
    with ServerProcess(points.folder, "--batch-delay", "300ms") as server:
        server.wait_ready()
        began = time.monotonic()
        assert post(server.address, "/v2/models/points/infer", {"inputs": [tensor]}).status == 200
        assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("seed", range(4))
async def test_every_request_is_answered_once_however_they_arrive(seed: int) -> None:
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: raised.append(context))
    chance = random.Random(seed)
    most = chance.randint(2, 5)
    admission = Admission(workers=chance.randint(1, 3), max_queue=10_000, max_batch=most, batch_delay=0.001)
    models = Model(), Model()
    asked = []
    for value in range(1500):
        within = chance.choice([10, 10, 10, 0.0015, 0.003])
        wanted = chance.random() < 0.95
        asked.append(Asked(admission, chance.choice(models), value, within=within, wanted=wanted))
        if chance.random() < 0.5:
            await asyncio.sleep(chance.choice([0, 0, 0, 0.0005, 0.001, 0.0015]))
    for value, one in enumerate(asked):
        outcome = await one.outcome()
        if isinstance(outcome, RequestError):
            assert outcome.status == 504
        elif one.wanted:
            assert outcome == [[float(value)]]
        else:
            assert outcome is None
    # What was too late is still taken out of its lane, when its turn comes.
    for _ in range(1000):
        if not admission.waiting:
            break
        await asyncio.sleep(0.01)
    assert admission.waiting == 0
    assert raised == []
    assert max(size for model in models for size in model.sizes) <= most
