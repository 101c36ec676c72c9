"""The work queue loses no key, works on none twice at a time, and gives every failure more time."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from luntra_operator.controller.queue import OUTAGE_DELAY, Key, Priority, WorkQueue
from luntra_operator.kube.errors import RefusedError, UnavailableError
from tests.operator.controller.fake_time import in_fake_time

A, B = ("team", "a"), ("team", "b")


class Worked:
    """Records when each key was worked on; `takes` seconds each time; `returns` is what the work answers."""

    def __init__(self, takes: float = 0.0, returns: Callable[[Key], float | None] = lambda key: None) -> None:
        self.takes, self.returns = takes, returns
        self.calls: list[tuple[Key, float]] = []
        self.now, self.most = 0, 0
        self.keys_now: list[Key] = []

    async def __call__(self, key: Key) -> float | None:
        loop = asyncio.get_running_loop()
        assert key not in self.keys_now, "two workers on one key"
        self.calls.append((key, loop.time() - 1000))
        self.keys_now.append(key)
        self.most = max(self.most, len(self.keys_now))
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.keys_now.remove(key)
        return self.returns(key)

    def times(self, key: Key) -> list[float]:
        """When work on a key began, in seconds since the start."""
        return [round(time, 6) for found, time in self.calls if found == key]


@asynccontextmanager
async def running(queue: WorkQueue) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_key_added_twice_while_it_waits_is_worked_on_once() -> None:
    async def scenario() -> None:
        worked = Worked()
        queue = WorkQueue(worked)
        queue.add(A)
        queue.add(A)
        queue.add(B)
        assert len(queue) == 2
        async with running(queue):
            await asyncio.sleep(1)
        assert worked.times(A) == [0]
        assert worked.times(B) == [0]
        assert len(queue) == 0

    in_fake_time(scenario())


def test_key_added_while_it_is_worked_on_is_worked_on_once_more_afterwards() -> None:
    async def scenario() -> None:
        worked = Worked(takes=10)
        queue = WorkQueue(worked)
        async with running(queue):
            queue.add(A)
            await asyncio.sleep(3)
            queue.add(A)
            queue.add(A)
            await asyncio.sleep(30)
        assert worked.times(A) == [0, 10]

    in_fake_time(scenario())


def test_earliest_wish_wins_and_a_later_one_never_postpones() -> None:
    async def scenario() -> None:
        worked = Worked()
        queue = WorkQueue(worked)
        async with running(queue):
            queue.add(A, after=60)
            queue.add(A, after=5)
            queue.add(A, after=30)
            await asyncio.sleep(100)
        assert worked.times(A) == [5]

    in_fake_time(scenario())


def test_key_is_due_again_when_its_work_says_so() -> None:
    async def scenario() -> None:
        worked = Worked(returns=lambda key: 20.0)
        queue = WorkQueue(worked)
        async with running(queue):
            queue.add(A)
            await asyncio.sleep(50)
        assert worked.times(A) == [0, 20, 40]

    in_fake_time(scenario())


def test_event_during_the_delay_brings_the_work_forward() -> None:
    async def scenario() -> None:
        worked = Worked(returns=lambda key: 20.0)
        queue = WorkQueue(worked)
        async with running(queue):
            queue.add(A)
            await asyncio.sleep(3)
            queue.add(A)
            await asyncio.sleep(10)
        assert worked.times(A) == [0, 3]

    in_fake_time(scenario())


def test_workers_are_bounded_and_none_idles_while_keys_wait() -> None:
    async def scenario() -> None:
        worked = Worked(takes=1)
        queue = WorkQueue(worked, workers=3)
        for number in range(9):
            queue.add(("team", str(number)))
        async with running(queue):
            await asyncio.sleep(3.5)
        assert worked.most == 3
        assert len(worked.calls) == 9

    in_fake_time(scenario())


def test_busy_key_does_not_keep_others_from_being_worked_on() -> None:
    async def scenario() -> None:
        worked = Worked(takes=10)
        queue = WorkQueue(worked, workers=2)
        async with running(queue):
            queue.add(A)
            await asyncio.sleep(1)
            queue.add(A)
            queue.add(B)
            await asyncio.sleep(1)
            assert worked.times(B) == [1]

    in_fake_time(scenario())


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log of failures, out of the way."""
    caplog.set_level(logging.CRITICAL, logger="luntra_operator.controller.queue")
    return caplog


def test_back_off_grows_up_to_its_bound_and_starts_anew_after_a_success(quiet: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        random.seed(7)
        fails = True

        def outcome(key: Key) -> None:
            if fails:
                raise RuntimeError("broken")

        worked = Worked(returns=outcome)
        queue = WorkQueue(worked, base_delay=1, max_delay=60)
        async with running(queue):
            queue.add(A)
            await asyncio.sleep(2000)
            times = worked.times(A)
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert all(gap <= min(60, 2**number) for number, gap in enumerate(gaps, 1))
            assert max(gaps[:3]) < 8 < max(gaps[6:]) <= 60
            fails = False
            await asyncio.sleep(61)  # the success
            fails = True
            before = len(worked.calls)
            queue.add(A)
            await asyncio.sleep(2.1)
            assert len(worked.calls) >= before + 2

    in_fake_time(scenario())


def test_thousands_of_failures_in_a_row_stop_nothing(quiet: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        def outcome(key: Key) -> None:
            if key == A:
                raise RuntimeError("broken")

        worked = Worked(returns=outcome)
        queue = WorkQueue(worked, base_delay=0.2, max_delay=1)
        async with running(queue):
            queue.add(A)
            await asyncio.sleep(2000)
            assert len(worked.times(A)) > 1100
            queue.add(B)
            await asyncio.sleep(1)
            assert len(worked.times(B)) == 1

    in_fake_time(scenario())


def test_failure_is_logged_with_the_key(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async def broken(key: Key) -> None:
            raise RuntimeError("no such thing")

        queue = WorkQueue(broken)
        async with running(queue):
            queue.add(A)
            await asyncio.sleep(0.05)

    in_fake_time(scenario())
    assert "work on team/a failed 1 times in a row" in caplog.text
    assert "no such thing" in caplog.text


@pytest.mark.parametrize("error", [UnavailableError("no answer"), RefusedError("GET /x: no (400)")])
def test_expected_failure_is_one_line_without_a_traceback(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async def broken(key: Key) -> None:
            raise error

        queue = WorkQueue(broken)
        async with running(queue):
            queue.add(A)
            await asyncio.sleep(0.05)
            assert list(queue.failing) == [A]

    in_fake_time(scenario())
    first = caplog.records[0]
    assert first.exc_info is None
    assert first.message.startswith("team/a failed 1 times in a row, next in 0.")
    assert first.message.endswith(str(error))


def test_pile_up_after_an_outage_is_spread_and_bounded_by_the_workers(quiet: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        random.seed(3)
        loop = asyncio.get_running_loop()
        out_until = loop.time() + 60
        back: dict[Key, float] = {}
        at_once, most = 0, 0

        async def work(key: Key) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)
            at_once -= 1
            if loop.time() < out_until:
                raise UnavailableError("no answer")
            back[key] = loop.time() - out_until

        queue = WorkQueue(work, workers=4)
        async with running(queue):
            for number in range(100):
                queue.add(("team", str(number)))
            await asyncio.sleep(60 + OUTAGE_DELAY + 1)
        assert len(back) == 100
        assert most == 4
        assert max(back.values()) <= OUTAGE_DELAY + 0.5
        per_second = [sum(int(moment) == second for moment in back.values()) for second in range(15)]
        assert max(per_second) < 30

    in_fake_time(scenario())


def test_work_that_hangs_is_cancelled_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        worked = Worked()

        async def work(key: Key) -> None:
            if key == A:
                await asyncio.Event().wait()
            await worked(key)

        queue = WorkQueue(work, workers=1, limit=30)
        async with running(queue):
            queue.add(A)
            queue.add(B, after=1)
            await asyncio.sleep(29)
            assert queue.running == {A: pytest.approx(29)}
            await asyncio.sleep(2)
            assert worked.times(B) == [30]

    in_fake_time(scenario())
    assert "team/a failed 1 times in a row" in caplog.text
    assert "not done within 30 s, so it was cancelled" in caplog.text
    assert "Traceback" not in caplog.text


def test_time_out_of_the_work_itself_is_not_taken_for_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async def work(key: Key) -> None:
            raise TimeoutError("its own")

        queue = WorkQueue(work)
        async with running(queue):
            queue.add(A)
            await asyncio.sleep(0.05)

    in_fake_time(scenario())
    assert "TimeoutError: its own" in caplog.text
    assert "was cancelled" not in caplog.text


def test_wishes_that_earlier_ones_made_void_take_no_memory() -> None:
    async def scenario() -> None:
        queue = WorkQueue(Worked(returns=lambda key: 3600.0))
        async with running(queue):
            for _ in range(2000):
                queue.add(A)
                await asyncio.sleep(0.1)
            assert len(queue) == 1
            assert len(queue._later) + len(queue._ready) < 100

    in_fake_time(scenario())


def test_cancelling_the_queue_cancels_the_work_under_way() -> None:
    async def scenario() -> None:
        ended: list[str] = []

        async def work(key: Key) -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append(key[1])

        queue = WorkQueue(work)
        async with running(queue):
            queue.add(A)
            queue.add(B)
            await asyncio.sleep(1)
        assert sorted(ended) == ["a", "b"]

    in_fake_time(scenario())


@pytest.mark.parametrize("before", range(6))
def test_a_wish_that_comes_with_the_end_does_not_keep_the_queue_running(before: int) -> None:
    """Breaks if a wakeup in the same turn of the event loop makes the queue overlook that it is cancelled."""

    async def scenario() -> None:
        queue = WorkQueue(Worked())
        task = asyncio.create_task(queue.run())
        queue.add(A, after=1000)
        await asyncio.sleep(1)
        queue.add(B)
        for _ in range(before):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.cancelled()

    in_fake_time(scenario())


def test_work_that_somebody_else_cancels_is_done_again() -> None:
    async def scenario() -> None:
        worked = Worked(takes=10)
        queue = WorkQueue(worked, workers=1)
        async with running(queue):
            before = asyncio.all_tasks()
            queue.add(A)
            await asyncio.sleep(3)
            (task,) = asyncio.all_tasks() - before
            task.cancel()
            await asyncio.sleep(20)
            assert worked.times(A) == [0, 3]

    in_fake_time(scenario())


def test_overdue_is_how_long_a_due_key_has_found_no_worker() -> None:
    async def scenario() -> None:
        queue = WorkQueue(Worked(takes=500), workers=1)
        assert queue.overdue == 0
        async with running(queue):
            queue.add(A)
            await asyncio.sleep(1)
            queue.add(B, after=9)
            await asyncio.sleep(5)
            assert queue.overdue == 0  # not due yet
            await asyncio.sleep(104)
            assert queue.overdue == pytest.approx(100)

    in_fake_time(scenario())


def test_keys_are_worked_on_in_the_order_in_which_they_are_due() -> None:
    async def scenario() -> list[str]:
        worked = Worked(takes=1)
        queue = WorkQueue(worked, workers=1)
        queue.add(("team", "third"), after=3)
        queue.add(("team", "first"), after=1)
        queue.add(("team", "second"), after=2)
        async with running(queue):
            await asyncio.sleep(10)
        return [key[1] for key, _ in worked.calls]

    assert in_fake_time(scenario()) == ["first", "second", "third"]


def test_urgent_key_overtakes_those_that_have_been_due_for_longer() -> None:
    """Breaks if a key is chosen before there is a worker for it, too."""

    async def scenario() -> list[str]:
        worked = Worked(takes=1)
        queue = WorkQueue(worked, workers=1)
        async with running(queue):
            for number in range(3):
                queue.add(("team", f"listed-{number}"), priority=Priority.BACKGROUND)
            await asyncio.sleep(0.5)  # the first of them is under way
            queue.add(("team", "changed"))
            queue.add(("team", "edited"), priority=Priority.URGENT)
            queue.add(("team", "listed-2"), priority=Priority.URGENT)
            await asyncio.sleep(10)
        return [key[1] for key, _ in worked.calls]

    assert in_fake_time(scenario()) == ["listed-0", "listed-2", "edited", "changed", "listed-1"]


def test_urgency_makes_nothing_due_earlier() -> None:
    async def scenario() -> None:
        worked = Worked()
        queue = WorkQueue(worked)
        async with running(queue):
            queue.add(A, after=5, priority=Priority.URGENT)
            queue.add(B, after=60)
            await asyncio.sleep(1)
            queue.add(B, after=70, priority=Priority.URGENT)
            await asyncio.sleep(100)
        assert (worked.times(A), worked.times(B)) == ([5], [60])

    in_fake_time(scenario())


def test_urgency_ends_with_the_work() -> None:
    async def scenario() -> list[str]:
        worked = Worked(takes=1, returns=lambda key: 1.5 if len(worked.calls) < 3 else None)
        queue = WorkQueue(worked, workers=1)
        async with running(queue):
            queue.add(A, priority=Priority.URGENT)
            await asyncio.sleep(0.1)
            for number in range(4):
                queue.add(("team", f"other-{number}"))
            await asyncio.sleep(20)
        return [key[1] for key, _ in worked.calls]

    assert in_fake_time(scenario())[:6] == ["a", "other-0", "other-1", "other-2", "other-3", "a"]
