"""H4, H6, H9, H10, H14: loads that fail, meet, are overtaken, or do not fit."""

from __future__ import annotations

import gc
import threading
import time
from typing import TYPE_CHECKING

import pytest

from luntra_serving.swap.budget import Budget, DoesNotFitError, Reservation, Size
from luntra_serving.swap.events import EventLog
from luntra_serving.swap.loading import LoadFailedError, Steps, SupersededError
from luntra_serving.swap.states import Stage, State
from luntra_serving.swap.swapper import Swapper
from tests.serving.swap.conftest import Bench, Model, eventually, identity

if TYPE_CHECKING:
    from collections.abc import Callable


def test_h4_long_request_on_one_model_does_not_delay_another(bench: Bench) -> None:
    bench.serve(1)
    held = bench.swapper.acquire()
    other: Swapper[Model] = Swapper(
        "other", close=Model.close, reclaimer=bench.reclaimer, budget=bench.budget, events=EventLog(), keep=False
    )
    for number in range(10, 20):
        other.load(identity(number), bench.loader(number)).result(10)
        other.promote(identity(number))
    other.unload()
    eventually(lambda: len(bench.deaths.seen) == 10)
    assert held.model.infer() == 1
    held.release()


def test_h6_load_that_raises_changes_nothing_and_leaves_nothing(bench: Bench) -> None:
    bench.serve(1)
    free = bench.budget.free

    class BrokenError(Exception):
        reason = "DigestMismatch"

    def load(steps: Steps) -> tuple[Model, Size]:
        steps.reserve(Size(host=100))
        with steps(Stage.LOAD):
            half = Model(2, bench.deaths)
            raise BrokenError(f"model {half.number} is not what the manifest says")

    failed = bench.swapper.load(identity(2), load)
    with pytest.raises(LoadFailedError, match="DigestMismatch: model 2 is not what"):
        failed.result(10)
    status = bench.swapper.statuses()[identity(2)]
    assert (status.state, status.reason) == (State.FAILED, "DigestMismatch")
    assert bench.ask() == 1
    assert bench.budget.free == free
    gc.collect()
    assert [number for number, _ in bench.deaths.seen] == [2], "something still refers to what was loaded"


def test_library_that_wants_to_end_the_process_only_fails_its_version(bench: Bench) -> None:
    def load(_steps: Steps) -> tuple[Model, Size]:
        raise SystemExit(3)

    with pytest.raises(LoadFailedError, match="SystemExit: 3"):
        bench.swapper.load(identity(1), load).result(10)


def test_failed_version_can_be_loaded_again(bench: Bench) -> None:
    def load(_steps: Steps) -> tuple[Model, Size]:
        raise OSError("disk full")

    with pytest.raises(LoadFailedError):
        bench.swapper.load(identity(1), load).result(10)
    bench.serve(1)
    assert bench.ask() == 1
    assert bench.swapper.statuses()[identity(1)].reason is None


def test_h9_two_loads_of_one_version_are_one(bench: Bench) -> None:
    go = threading.Event()
    loads = [bench.swapper.load(identity(1), bench.loader(1, before=lambda _: go.wait(10))) for _ in range(2)]
    go.set()
    assert loads[0] is loads[1]
    assert loads[0].result(10) is loads[1].result(10)
    assert bench.events(1) == ["Loading", "Ready"]
    assert bench.swapper.load(identity(1), bench.loader(9)).result(10) is loads[0].result(10)


def test_h10_overtaken_load_ends_superseded_and_is_never_current(bench: Bench) -> None:
    bench.serve(1)
    go, begun = threading.Event(), threading.Event()

    def wait(_steps: Steps) -> None:
        begun.set()
        go.wait(10)

    second = bench.swapper.load(identity(2), bench.loader(2, 100, before=wait))
    assert begun.wait(10)
    bench.swapper.supersede(identity(2))
    bench.serve(3)
    go.set()
    with pytest.raises(SupersededError):
        second.result(10)
    eventually(lambda: bench.events(2) == ["Loading", "Superseded"])
    assert bench.ask() == 3
    assert bench.budget.free == Size(host=998)
    assert [number for number, _ in bench.deaths.seen] == [2]


def test_load_that_is_not_wanted_any_more_enters_no_further_stage(bench: Bench) -> None:
    entered: list[str] = []
    go = threading.Event()

    def load(steps: Steps) -> tuple[Model, Size]:
        with steps(Stage.FETCH):
            entered.append("fetch")
            go.wait(10)
        with steps(Stage.LOAD):
            entered.append("load")
        return Model(1, bench.deaths), Size()

    load_one = bench.swapper.load(identity(1), load)
    eventually(lambda: entered == ["fetch"])
    assert bench.swapper.statuses()[identity(1)].stage == "fetch"
    bench.swapper.supersede(identity(1))
    go.set()
    with pytest.raises(SupersededError):
        load_one.result(10)
    assert entered == ["fetch"]


def test_superseded_load_that_is_wanted_again_goes_on(bench: Bench) -> None:
    go = threading.Event()
    first = bench.swapper.load(identity(1), bench.loader(1, before=lambda _: go.wait(10)))
    eventually(lambda: bench.swapper.statuses()[identity(1)].stage is Stage.LOAD)
    bench.swapper.supersede(identity(1))
    assert bench.swapper.load(identity(1), bench.loader(1)) is first
    go.set()
    assert first.result(10).identity == identity(1)


def test_stages_are_timed(bench: Bench) -> None:
    bench.serve(1)
    assert list(bench.swapper.statuses()[identity(1)].stages) == ["load"]


def test_h14_second_model_that_does_not_fit_is_refused_with_numbers(make: Callable[..., Bench]) -> None:
    bench = make(total=1000)
    bench.serve(1, size=600)
    other: Swapper[Model] = Swapper(
        "other", close=Model.close, reclaimer=bench.reclaimer, budget=bench.budget, events=EventLog()
    )
    with pytest.raises(LoadFailedError, match=r"DoesNotFit: needs 600 B, but 400 B of 1,000 B are free; unload"):
        other.load(identity(2), bench.loader(2, 600)).result(10)
    assert bench.deaths.born == [1], "what does not fit must not be loaded to find that out"
    assert bench.ask() == 1
    bench.swapper.unload()
    eventually(lambda: bench.budget.free == Size(host=1000))
    other.load(identity(2), bench.loader(2, 600)).result(10)
    other.unload()


def test_version_before_makes_room_for_a_load_that_needs_it(make: Callable[..., Bench]) -> None:
    bench = make(total=1000)
    bench.serve(1, size=400)
    held = bench.swapper.acquire()
    bench.serve(2, size=400)
    third = bench.swapper.load(identity(3), bench.loader(3, 500))
    eventually(lambda: bench.swapper.statuses()[identity(3)].stage == "make-room")
    held.release()
    assert third.result(10).identity == identity(3)
    assert bench.events(1)[-1] == "Reclaimed"


def test_version_before_stays_where_giving_it_up_would_not_help(make: Callable[..., Bench]) -> None:
    bench = make(total=1000)
    bench.serve(1, size=400)
    bench.serve(2, size=400)
    with pytest.raises(LoadFailedError, match="DoesNotFit: needs 700 B, but 600 B"):
        bench.swapper.load(identity(3), bench.loader(3, 700)).result(10)
    assert bench.swapper.statuses()[identity(1)].state is State.READY


def test_measured_size_counts_instead_of_the_expected_one() -> None:
    budget = Budget(Size(host=100, device=10))
    reservation = Reservation(budget)
    reservation.claim(Size(host=10, device=5))
    reservation.settle(Size(host=30, device=6))
    assert budget.free == Size(host=70, device=4)
    with pytest.raises(DoesNotFitError, match=r"needs 1 B \+ 5 B on the device, but 70 B \+ 4 B on the device"):
        Reservation(budget).claim(Size(host=1, device=5))
    reservation.release()
    reservation.release()
    assert budget.free == budget.total


def test_h7_self_test_that_hangs_is_given_up_and_its_memory_comes_back_when_it_ends(bench: Bench) -> None:
    bench.serve(1)
    free, go = bench.budget.free, threading.Event()

    def load(steps: Steps) -> tuple[Model, Size]:
        steps.reserve(Size(host=100))
        model = Model(2, bench.deaths)
        with steps(Stage.SELF_TEST, limit=0.05):
            go.wait(10)
        return model, Size(host=100)

    hanging = bench.swapper.load(identity(2), load)
    with pytest.raises(LoadFailedError, match=r"TimedOut: self-test still runs after its limit of 0\.05 s"):
        hanging.result(10)
    status = bench.swapper.statuses()[identity(2)]
    assert (status.state, status.reason) == (State.FAILED, "TimedOut")
    assert bench.ask() == 1
    assert bench.budget.free == free - Size(host=100), "the thread still has what it took"
    again = bench.swapper.load(identity(2), bench.loader(2))
    assert again.result(10).identity == identity(2), "another attempt does not wait for the first one"
    go.set()
    eventually(lambda: bench.budget.free == free - Size(host=1))
    eventually(lambda: [number for number, _ in bench.deaths.seen] == [2])
    assert bench.events(2) == ["Loading", "Failed", "Loading", "Ready"], "the late end says nothing more"


def test_limit_of_a_stage_is_over_with_the_stage(bench: Bench) -> None:
    def load(steps: Steps) -> tuple[Model, Size]:
        with steps(Stage.WARM_UP, limit=0.5):
            pass
        with steps(Stage.SELF_TEST):
            time.sleep(0.8)
        return Model(1, bench.deaths), Size()

    assert bench.swapper.load(identity(1), load).result(10).identity == identity(1)
    eventually(lambda: not any(isinstance(thread, threading.Timer) for thread in threading.enumerate()))
