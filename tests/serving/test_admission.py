"""Where requests run, with whom, and until when: a real event loop, a model that tells what it was asked."""

from __future__ import annotations

import asyncio
import threading

import pytest

from luntra_serving.errors import RequestError
from luntra_serving.server.admission import Admission
from tests.serving.asking import Asked, Model
from tests.serving.swap.conftest import eventually


@pytest.fixture
def model() -> Model:
    return Model()


async def test_requests_that_wait_together_run_together(model: Model) -> None:
    admission = Admission(workers=1, max_queue=100, max_batch=4)
    model.go.clear()
    first = Asked(admission, model, 0)
    await asyncio.to_thread(model.begun.wait, 10)
    others = [Asked(admission, model, value) for value in range(1, 7)]
    model.go.set()
    assert [await one.outcome() for one in (first, *others)] == [[[float(value)]] for value in range(7)]
    assert model.sizes == [1, 4, 2]
    assert admission.waiting == 0


async def test_h16_batch_never_mixes_versions() -> None:
    models = Model(), Model()
    admission = Admission(workers=1, max_queue=100, max_batch=32)
    models[0].go.clear()
    asked = [Asked(admission, models[0], -1)]
    await asyncio.to_thread(models[0].begun.wait, 10)
    asked += [Asked(admission, models[value % 2], value) for value in range(10)]
    models[0].go.set()
    assert [await one.outcome() for one in asked] == [[[float(value)]] for value in range(-1, 10)]
    assert [model.sizes for model in models] == [[1, 5], [5]]


async def test_quick_model_answers_on_the_event_loop_what_arrives_in_one_turn_of_it(model: Model) -> None:
    model.make_quick()
    admission = Admission(workers=1, max_queue=0, max_batch=32)
    asked = [Asked(admission, model, value) for value in range(3)]
    assert model.sizes == []
    assert [await one.outcome() for one in asked] == [[[0.0]], [[1.0]], [[2.0]]]
    assert (model.sizes, model.threads) == ([3], [threading.get_ident()])


@pytest.mark.parametrize(("quick", "small"), [(False, True), (True, False)])
async def test_slow_model_and_large_request_leave_the_event_loop_free(model: Model, quick: bool, small: bool) -> None:
    if quick:
        model.make_quick()
    await Asked(Admission(workers=1, max_queue=0), model, 1, small=small).outcome()
    assert model.threads != [threading.get_ident()]


async def test_one_more_than_the_queue_holds_is_refused(model: Model) -> None:
    admission = Admission(workers=1, max_queue=1)
    model.go.clear()
    asked = [Asked(admission, model, value) for value in range(2)]
    with pytest.raises(RequestError, match="1 requests of this version are waiting already"):
        Asked(admission, model, 2)
    model.go.set()
    assert [await one.outcome() for one in asked] == [[[0.0]], [[1.0]]]


async def test_version_that_hangs_takes_neither_threads_nor_places_from_another() -> None:
    hanging, other = Model(), Model()
    admission = Admission(workers=2, max_queue=3)
    hanging.go.clear()
    asked = [Asked(admission, hanging, value) for value in range(5)]
    with pytest.raises(RequestError, match="of this version"):
        Asked(admission, hanging, 5)
    assert [await Asked(admission, other, value).outcome() for value in range(5)] == [[[float(n)]] for n in range(5)]
    other.make_quick()
    await Asked(admission, other, 6).outcome()
    assert other.threads[-1] == threading.get_ident(), "another version's queue keeps a quick model off the event loop"
    hanging.go.set()
    assert [await one.outcome() for one in asked] == [[[float(value)]] for value in range(5)]
    assert admission.waiting == 0


async def test_requests_that_cannot_be_joined_do_not_wait_for_each_other(model: Model) -> None:
    model.joinable = False
    together: list[int] = []
    admission = Admission(workers=2, max_queue=9, max_batch=32, ran=together.append)
    model.go.clear()
    blocking = [Asked(admission, model, value) for value in (0, 1)]
    waiting = [Asked(admission, model, value) for value in (2, 3)]
    await asyncio.to_thread(eventually, lambda: model.inside == 2)
    model.go.set()
    for one in (*blocking, *waiting):
        await one.outcome()
    assert len(set(model.threads)) == 2
    assert set(together) == {1}, "one thread took several, one after the other"


async def test_request_that_hangs_leaves_the_other_threads_of_its_version(model: Model) -> None:
    admission = Admission(workers=2, max_queue=9)
    model.go.clear()
    hanging = Asked(admission, model, 0)
    await asyncio.to_thread(model.begun.wait, 10)
    model.infer = dict  # type: ignore[assignment, method-assign] # those that come later return at once
    for value in (1, 2, 3):
        assert await Asked(admission, model, value).outcome() == [[float(value)]]
    model.go.set()
    assert await hanging.outcome() == [[0.0]]


async def test_no_more_threads_than_allowed_run_one_version(model: Model) -> None:
    admission = Admission(workers=2, max_queue=100)
    model.go.clear()
    asked = [Asked(admission, model, value) for value in range(20)]
    await asyncio.to_thread(model.begun.wait, 10)
    model.go.set()
    for one in asked:
        await one.outcome()
    assert 1 <= len(set(model.threads)) <= 2


async def test_deadline_answers_at_once_and_what_waited_never_runs(model: Model) -> None:
    admission = Admission(workers=1, max_queue=9)
    model.go.clear()
    running = Asked(admission, model, 0, within=0.05)
    waiting = Asked(admission, model, 1, within=0.05)
    outcomes = [await running.outcome(), await waiting.outcome()]
    assert [outcome.status for outcome in outcomes] == [504, 504]
    model.go.set()
    await Asked(admission, model, 2).outcome()
    assert model.sizes == [1, 1], "the one that waited ran after its deadline"
    assert admission.waiting == 0


async def test_h18_client_that_has_gone_costs_no_inference(model: Model) -> None:
    admission = Admission(workers=1, max_queue=9)
    model.go.clear()
    first = Asked(admission, model, 0)
    await asyncio.to_thread(model.begun.wait, 10)
    gone = Asked(admission, model, 1)
    gone.wanted = False
    model.go.set()
    assert await gone.outcome() is None
    await first.outcome()
    assert model.sizes == [1]


@pytest.mark.parametrize("quick", [False, True])
async def test_request_whose_turn_comes_too_late_is_late_whether_or_not_its_client_has_gone(
    model: Model, quick: bool
) -> None:
    if quick:
        model.make_quick()
    admission = Admission(workers=1, max_queue=9)
    gone = Asked(admission, model, 1, within=0, wanted=False)
    if not quick:
        eventually(
            lambda: bool(admission._ended)
        )  # the thread has looked at it before the event loop looks at its clock
    outcome = await gone.outcome()
    assert isinstance(outcome, RequestError)
    assert outcome.status == 504
    assert model.sizes == []
    assert admission.waiting == 0
