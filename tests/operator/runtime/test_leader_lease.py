"""Leadership by Lease: one holder at a time, on clocks that need not agree, and never longer than it can be renewed."""

import asyncio

import pytest

from luntra_operator.kube.errors import ConflictError, KubeError, UnavailableError
from luntra_operator.runtime.lease import DURATION, RENEW_DEADLINE, RETRY, LeaseLostError
from tests.operator.controller.fake_time import in_fake_time
from tests.operator.runtime.lease_server import LeaseServer, Object, candidate


def now() -> float:
    return asyncio.get_running_loop().time()


async def fail() -> None:
    raise UnavailableError("no answer")


def test_first_candidate_makes_the_lease_and_leads() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        await candidate(server, "a").acquire()
        assert (server.spec["holderIdentity"], server.spec["leaseTransitions"]) == ("a", 0)
        assert server.spec["leaseDurationSeconds"] == DURATION
        assert server.spec["renewTime"].endswith("Z")

    in_fake_time(scenario())


def test_second_candidate_waits_while_the_lease_is_renewed_and_leads_once_it_is_not() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        first, second = candidate(server, "a"), candidate(server, "b")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(120)
        assert not waiting.done()
        holding.cancel()
        stopped = now()
        await waiting
        assert DURATION - RENEW_DEADLINE <= now() - stopped <= DURATION + 5
        assert (server.spec["holderIdentity"], server.spec["leaseTransitions"]) == ("b", 1)

    in_fake_time(scenario())


def test_released_lease_is_taken_at_once() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        first, second = candidate(server, "a"), candidate(server, "b")
        await first.acquire()
        await second.release()  # not its own
        assert server.spec["holderIdentity"] == "a"
        await first.release()
        started = now()
        await second.acquire()
        assert now() == started
        assert server.spec["holderIdentity"] == "b"

    in_fake_time(scenario())


def test_restarted_holder_takes_its_own_lease_again_at_once() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        await candidate(server, "a").acquire()
        started = now()
        await candidate(server, "a").acquire()
        assert now() == started
        assert server.spec["leaseTransitions"] == 0

    in_fake_time(scenario())


def test_holder_that_cannot_renew_gives_up_before_others_may_take_over() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        await lease.acquire()
        started = now()
        server.disturb = fail
        with pytest.raises(LeaseLostError, match="luntra-system/luntra-operator could not be renewed for 10 s"):
            await lease.hold()
        assert now() - started < DURATION

    in_fake_time(scenario())


def test_holder_whose_requests_hang_gives_up_before_others_may_take_over() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        await lease.acquire()
        started = now()

        async def hang() -> None:
            await asyncio.sleep(15)  # the client's own time-out
            raise UnavailableError("no answer")

        server.disturb = hang
        with pytest.raises(LeaseLostError):
            await lease.hold()
        assert now() - started < DURATION

    in_fake_time(scenario())


def test_renewal_counts_from_when_it_was_asked_for() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        await lease.acquire()
        slow = True

        async def delay() -> None:
            await asyncio.sleep(3)
            if not slow:
                raise UnavailableError("no answer")

        server.disturb = delay
        holding = asyncio.create_task(lease.hold())
        await asyncio.sleep(5.5)  # renewed once, at 2 s, with an answer after 3 s
        slow = False
        with pytest.raises(LeaseLostError):
            await holding
        assert now() - 1000 <= 2 + RENEW_DEADLINE + 0.01

    in_fake_time(scenario())


def test_lease_that_somebody_else_has_taken_is_lost() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        await lease.acquire()
        started = now()
        server.take("b")
        with pytest.raises(LeaseLostError, match="is somebody else's"):
            await lease.hold()
        assert server.spec["holderIdentity"] == "b"
        assert now() - started == RETRY, "it is seen, not waited for"
        assert not lease.held

    in_fake_time(scenario())


def test_short_failures_are_survived() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        await lease.acquire()
        holding = asyncio.create_task(lease.hold())
        for _ in range(5):
            server.disturb = fail
            await asyncio.sleep(6)
            server.disturb = None
            await asyncio.sleep(6)
        assert not holding.done()
        holding.cancel()

    in_fake_time(scenario())


def test_renewal_is_one_request() -> None:
    """Breaks if an operator at rest costs the API server a read of its Lease as well, every 2 seconds."""

    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        await lease.acquire()
        assert server.requests == ["get", "create"]
        server.requests.clear()
        holding = asyncio.create_task(lease.hold())
        await asyncio.sleep(60.5)
        assert server.requests == ["replace"] * 30
        holding.cancel()

    in_fake_time(scenario())


def test_lease_that_somebody_has_touched_or_deleted_is_read_and_held_on_to() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        await lease.acquire()
        holding = asyncio.create_task(lease.hold())
        server.take("a")  # for instance a label
        await asyncio.sleep(2.5)
        server.lease = None
        await asyncio.sleep(2)
        assert server.requests[2:] == ["replace", "get", "replace", "replace", "get", "create"]
        assert lease.held
        assert not holding.done()
        holding.cancel()

    in_fake_time(scenario())


def test_renewal_whose_answer_is_lost_is_told_by_a_look() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        await lease.acquire()
        stored = server._store

        def and_no_answer(body: Object) -> Object:
            stored(body)
            server._store = stored  # type: ignore[method-assign] # the server's own again, after one write
            raise UnavailableError("no answer")

        server._store = and_no_answer  # type: ignore[method-assign] # it has no hook between a write and its answer
        holding = asyncio.create_task(lease.hold())
        await asyncio.sleep(4.5)
        assert server.requests[2:] == ["replace", "get", "replace"]
        assert lease.held
        holding.cancel()

    in_fake_time(scenario())


def test_one_request_that_hangs_leaves_time_for_another() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        await lease.acquire()

        async def hang_once() -> None:
            server.disturb = None
            await asyncio.sleep(15)

        server.disturb = hang_once
        holding = asyncio.create_task(lease.hold())
        await asyncio.sleep(20)
        assert not holding.done()
        holding.cancel()

    in_fake_time(scenario())


def test_leader_that_was_stopped_for_long_does_not_act_before_it_has_looked() -> None:
    """Breaks if only the task that renews knows that time has passed: others may wake first."""

    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        assert not lease.held
        await lease.acquire()
        assert lease.held
        await asyncio.sleep(RENEW_DEADLINE - 0.01)
        assert lease.held
        await asyncio.sleep(0.02)
        assert not lease.held
        with pytest.raises(LeaseLostError):
            await lease.hold()

    in_fake_time(scenario())


def test_two_candidates_that_race_for_a_free_lease_do_not_both_lead() -> None:
    async def scenario() -> None:
        server = LeaseServer()

        async def yielding() -> None:
            await asyncio.sleep(0)

        server.disturb = yielding
        tasks = [asyncio.create_task(candidate(server, name).acquire()) for name in ("a", "b")]
        await asyncio.sleep(10)
        assert sum(task.done() for task in tasks) == 1
        for task in tasks:
            task.cancel()

    in_fake_time(scenario())


@pytest.mark.parametrize("error", [UnavailableError("no answer"), ConflictError("modified")])
def test_release_that_fails_stops_nothing(error: KubeError, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        server = LeaseServer()
        lease = candidate(server, "a")
        await lease.acquire()

        async def broken() -> None:
            raise error

        server.disturb = broken
        await lease.release()

    in_fake_time(scenario())
    assert "could not be released; a successor waits 15 s" in caplog.text
