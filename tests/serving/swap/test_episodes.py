"""H17's episodes: a session stays with the version on which it began until its end, whatever is promoted or rolled back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from luntra_serving.swap.episodes import Episodes
from luntra_serving.swap.route import SessionRule
from luntra_serving.swap.states import State
from tests.serving.swap.conftest import Bench, eventually, identity

if TYPE_CHECKING:
    from collections.abc import Callable

RULE = SessionRule("x-session", ttl=60)


def begin(bench: Bench, session: str) -> int:
    with bench.swapper.acquire(session) as model:
        return model.infer()


def promote(bench: Bench, number: int) -> None:
    bench.swapper.load(identity(number), bench.loader(number)).result(10)
    bench.swapper.promote(identity(number), session=RULE)


@pytest.fixture
def one(make: Callable[..., Bench]) -> Bench:
    bench = make(keep=False, drain=0.1)
    promote(bench, 1)
    return bench


def test_episode_outlives_promotions_and_keeps_its_version_in_memory(one: Bench) -> None:
    assert begin(one, "a") == 1
    promote(one, 2)
    promote(one, 3)
    assert begin(one, "a") == 1
    assert (begin(one, "b"), one.ask()) == (3, 3)
    eventually(lambda: "Stuck" in one.events(1))
    assert one.event(1, "Stuck").detail["sessions"] == 1
    assert one.swapper.statuses()[identity(1)].state is State.RETIRED
    assert one.swapper.episodes.end("a")
    eventually(lambda: one.events(1)[-1] == "Reclaimed")
    assert begin(one, "a") == 3


def test_episode_on_a_candidate_stays_through_its_rollback_and_its_weight(one: Bench) -> None:
    one.swapper.load(identity(2), one.loader(2)).result(10)
    one.swapper.split(identity(2), 100, session=RULE)
    assert begin(one, "a") == 2
    one.swapper.split(identity(2), 0, session=RULE)
    assert begin(one, "a") == 2
    one.swapper.promote(identity(1), session=RULE)
    assert (begin(one, "a"), begin(one, "b")) == (2, 1)


def test_silent_session_ends_after_its_ttl() -> None:
    now = 0.0
    bench_episodes: Episodes[object] = Episodes(clock=lambda: now)
    handle = _Held()
    bench_episodes.begin("a", handle)  # type: ignore[arg-type]
    now = 50.0
    assert bench_episodes.resume("a") is not None
    now = 100.0
    assert (bench_episodes.expire(60), len(bench_episodes)) == (0, 1)
    now = 111.0
    assert (bench_episodes.expire(60), len(bench_episodes)) == (1, 0)


class _Held:
    """A handle as far as an episode looks at one."""

    def __init__(self) -> None:
        self.model = object()
        self.version = self

    def hold_on(self, _model: object) -> str:
        return "held on"


def test_beyond_the_limit_sessions_go_by_the_route(one: Bench) -> None:
    one.swapper.episodes = Episodes(most=1)
    assert (begin(one, "a"), begin(one, "b")) == (1, 1)
    promote(one, 2)
    assert (begin(one, "a"), begin(one, "b")) == (1, 2)


def test_rule_without_episodes_ends_them(one: Bench) -> None:
    assert begin(one, "a") == 1
    one.swapper.promote(identity(1), session=SessionRule("x-session"))
    promote(one, 2)
    assert begin(one, "a") == 2


def test_requests_of_one_new_session_at_once_all_get_one_version(one: Bench) -> None:
    one.swapper.load(identity(2), one.loader(2)).result(10)
    for number in range(50):
        one.swapper.promote(identity(1 + number % 2), session=RULE)
        one.swapper.load(identity(2 - number % 2), one.loader(2 - number % 2)).result(10)
        together = threading.Barrier(5)
        seen: list[int] = []

        def ask(session: str = f"s{number}", together: threading.Barrier = together, seen: list[int] = seen) -> None:
            together.wait(10)
            seen.append(begin(one, session))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        together.wait(10)
        one.swapper.promote(identity(2 - number % 2), session=RULE)
        for thread in threads:
            thread.join(10)
        assert len(seen) == 4
        assert len(set(seen)) == 1, f"one session saw {seen}"
    counts = [status.in_flight for status in one.swapper.statuses().values()]
    assert counts == [0] * len(counts)


def test_second_of_two_first_requests_follows_the_first(one: Bench) -> None:
    promote(one, 2)
    one.swapper.load(identity(1), one.loader(1)).result(10)
    one.swapper.split(identity(1), 0, session=RULE)
    handles = [one.swapper.acquire_named(name) for name in ("v1", "v2")]
    followed = [one.swapper.episodes.begin("a", handle) for handle in handles]
    assert [handle.model.number for handle in followed] == [1, 1]
    assert one.swapper.statuses()[identity(2)].in_flight == 0, "the other version is let go"
    for handle in followed:
        handle.release()


def test_sweep_ends_what_began_while_the_rule_ended(one: Bench) -> None:
    handle = one.swapper.acquire("a")
    one.swapper.promote(identity(1))
    one.swapper.episodes.begin("a", handle)
    handle.release()
    one.swapper.sweep()
    assert len(one.swapper.episodes) == 0
