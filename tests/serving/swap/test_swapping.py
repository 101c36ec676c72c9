"""H1, H2, H3, H12, H13: requests and a swap at the same time."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from luntra_serving.swap.swapper import InUseError, NotResidentError, NotServedError
from luntra_serving.swap.version import ReleasedError
from tests.serving.swap.conftest import Bench, eventually, identity

if TYPE_CHECKING:
    from collections.abc import Callable


def test_before_anything_is_promoted_nothing_is_served(bench: Bench) -> None:
    with pytest.raises(NotServedError, match="no version of m is ready"):
        bench.swapper.acquire()
    bench.swapper.load(identity(1), bench.loader(1)).result(10)
    with pytest.raises(NotServedError):
        bench.swapper.acquire()


def test_h1_readers_never_see_a_version_go_back_or_a_torn_one(bench: Bench) -> None:
    bench.serve(0)
    wrong: list[str] = []
    stop = threading.Event()
    counted = [0] * 4

    def read(number: int) -> None:
        last = 0
        while not stop.is_set():
            handle = bench.swapper.acquire()
            name, answer = handle.version.identity.version, handle.model.infer()
            if name != f"v{answer}" or answer < last:
                wrong.append(f"{name} answered {answer} after {last}")
            last = answer
            counted[number] += 1
            handle.release()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # the interpreter changes threads as often as it can
    readers = [threading.Thread(target=read, args=(number,)) for number in range(len(counted))]
    try:
        for reader in readers:
            reader.start()
        for number in range(1, 1001):
            bench.serve(number)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(interval)
    assert wrong == []
    assert min(counted) > 100
    assert bench.swapper.route.epoch == 1001
    eventually(lambda: len(bench.deaths.seen) == 999)  # all but the stable one and the one before it


def test_h2_request_in_flight_keeps_its_version_and_promotion_does_not_wait(make: Callable[..., Bench]) -> None:
    bench = make(keep=False)
    bench.serve(1)
    held = bench.swapper.acquire()
    bench.swapper.load(identity(2), bench.loader(2)).result(10)
    bench.swapper.promote(identity(2))  # it would never return if it waited for the request
    assert bench.ask() == 2
    assert bench.events(1)[-1] == "Retired"
    bench.serve(3)
    eventually(lambda: bench.events(2)[-1] == "Reclaimed")  # so the reclaimer has looked at v1, too
    assert held.model.infer() == 1
    assert [number for number, _ in bench.deaths.seen] == [2]
    held.release()
    eventually(lambda: bench.events(1)[-1] == "Reclaimed")


async def test_h3_destructor_runs_on_the_reclaimers_thread(make: Callable[..., Bench]) -> None:
    bench = make(keep=False)
    bench.serve(1)
    handle = bench.swapper.acquire()
    bench.serve(2)
    handle.release()  # the last one, here on the event loop
    del handle
    await asyncio.to_thread(eventually, lambda: bool(bench.deaths.seen))
    assert bench.deaths.seen == [(1, bench.reclaimer.ident)]
    assert bench.reclaimer.ident != threading.get_ident()


def test_h3_model_that_is_computed_with_outlives_its_handle(make: Callable[..., Bench]) -> None:
    bench = make(keep=False)
    bench.serve(1)
    handle = bench.swapper.acquire()
    model = handle.model  # as a thread has it whose caller has given up
    handle.release()
    bench.serve(2)
    bench.serve(3)
    eventually(lambda: bench.events(2)[-1] == "Reclaimed")
    assert model.infer() == 1
    del model
    eventually(lambda: bench.events(1)[-1] == "Reclaimed")
    assert (1, bench.reclaimer.ident) in bench.deaths.seen


def test_handle_is_released_exactly_once(bench: Bench) -> None:
    bench.serve(1)
    handle = bench.swapper.acquire()
    handle.release()
    with pytest.raises(ReleasedError, match="released before"):
        handle.release()
    assert bench.swapper.statuses()[identity(1)].in_flight == 0


def test_requests_in_flight_are_counted(bench: Bench) -> None:
    bench.serve(1)
    handles = [bench.swapper.acquire() for _ in range(3)]
    assert bench.swapper.statuses()[identity(1)].in_flight == 3
    for handle in handles:
        handle.release()
    assert bench.swapper.statuses()[identity(1)].in_flight == 0


def test_h12_rollback_to_a_resident_version_is_one_store(bench: Bench) -> None:
    bench.serve(1)
    bench.serve(2)
    route = bench.swapper.rollback()
    assert bench.ask() == 1
    assert route.epoch == 3
    assert bench.events(1) == ["Loading", "Ready", "Promoted", "RolledBack"]
    eventually(lambda: bench.events(2)[-1] == "Reclaimed")
    with pytest.raises(NotResidentError, match="there was no version before"):
        bench.swapper.rollback()


def test_h13_rollback_resurrects_a_version_that_drains(make: Callable[..., Bench]) -> None:
    bench = make(keep=False)
    bench.serve(1)
    held = bench.swapper.acquire()
    bench.serve(2)
    bench.swapper.rollback()
    assert bench.ask() == 1
    held.release()
    eventually(lambda: bench.events(2)[-1] == "Reclaimed")
    assert bench.events(1) == ["Loading", "Ready", "Promoted", "Retired", "Resurrected", "RolledBack"]
    assert [number for number, _ in bench.deaths.seen] == [2]


def test_h13_rollback_to_a_reclaimed_version_says_that_it_must_be_loaded(make: Callable[..., Bench]) -> None:
    bench = make(keep=False)
    bench.serve(1)
    bench.serve(2)
    eventually(lambda: bench.events(1)[-1] == "Reclaimed")
    with pytest.raises(NotResidentError, match="not in memory any more; load"):
        bench.swapper.rollback()
    assert bench.ask() == 2


def test_version_in_the_route_cannot_be_retired(bench: Bench) -> None:
    bench.serve(1)
    with pytest.raises(InUseError, match="promote another version first"):
        bench.swapper.retire(identity(1))
    with pytest.raises(NotResidentError, match="load it first"):
        bench.swapper.retire(identity(2))


def test_version_that_is_held_too_long_is_reported_and_never_freed(make: Callable[..., Bench]) -> None:
    bench = make(keep=False, drain=0.05)
    bench.serve(1)
    held = bench.swapper.acquire()
    bench.serve(2)
    eventually(lambda: "Stuck" in bench.events(1))
    assert bench.event(1, "Stuck").detail["in_flight"] == 1
    assert held.model.infer() == 1
    held.release()
    eventually(lambda: bench.events(1)[-1] == "Reclaimed")
    assert bench.events(1).count("Stuck") == 1


def test_every_version_has_one_event_of_each_kind(bench: Bench) -> None:
    for number in range(50):
        bench.serve(number)
    bench.swapper.unload()
    eventually(lambda: len(bench.deaths.seen) == 50)
    eventually(lambda: all(bench.events(number)[-1] == "Reclaimed" for number in range(50)))
    assert all(bench.events(number) == ["Loading", "Ready", "Promoted", "Retired", "Reclaimed"] for number in range(50))
    assert bench.budget.free == bench.budget.total


def test_request_that_comes_a_moment_too_late_gets_no_retired_version(make: Callable[..., Bench]) -> None:
    bench = make(keep=False)
    bench.serve(1)
    late = bench.swapper.route.stable  # read from the route, and not counted yet
    held = bench.swapper.acquire()
    bench.serve(2)
    assert late is not None
    assert late.hold() is None
    assert late.in_flight == 1, "the one that came too late is still counted"
    held.release()


def test_request_that_has_only_counted_itself_yet_is_waited_for(make: Callable[..., Bench]) -> None:
    bench = make(keep=False)
    bench.serve(1)
    version = bench.swapper.route.stable
    assert version is not None
    next(version.entered)  # the first half of `hold`
    bench.serve(2)
    bench.serve(3)
    eventually(lambda: bench.events(2)[-1] == "Reclaimed")
    assert bench.events(1)[-1] == "Retired"
    version.leave()
    eventually(lambda: bench.events(1)[-1] == "Reclaimed")
