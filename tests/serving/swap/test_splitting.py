"""H17 in one process: who gets the candidate, by weight and by session."""

from __future__ import annotations

import itertools

import pytest

from luntra_serving.swap.route import share
from luntra_serving.swap.swapper import NotServedError
from tests.serving.swap.conftest import Bench, eventually, identity

SESSIONS = [f"session-{number}" for number in range(2000)]


@pytest.fixture
def two(bench: Bench) -> Bench:
    """v1 is stable and v2 is ready."""
    bench.serve(1)
    bench.swapper.load(identity(2), bench.loader(2)).result(10)
    return bench


def of_session(bench: Bench, session: str) -> int:
    with bench.swapper.acquire(session) as model:
        return model.infer()


@pytest.mark.parametrize("weight", [0, 1, 10, 33, 50, 99, 100])
def test_weight_is_kept_exactly_in_every_hundred_requests_and_evenly(two: Bench, weight: int) -> None:
    two.swapper.split(identity(2), weight)
    answers = [two.ask() for _ in range(300)]
    windows = [answers[start : start + 100].count(2) for start in range(201)]
    assert set(windows) == {weight}
    if 0 < weight <= 50:
        places = [index for index, answer in enumerate(answers) if answer == 2]
        gaps = {later - earlier for earlier, later in itertools.pairwise(places)}
        assert max(gaps) - min(gaps) <= 1, "requests for the candidate come in clumps"


def test_h17_session_stays_with_its_version_and_weight_moves_it_only_one_way(two: Bench) -> None:
    before: set[str] = set()
    for weight in (0, 5, 20, 50, 80, 100):
        two.swapper.split(identity(2), weight)
        mine = {session for session in SESSIONS if of_session(two, session) == 2}
        assert mine == {session for session in SESSIONS if of_session(two, session) == 2}
        assert before <= mine
        assert abs(len(mine) / len(SESSIONS) * 100 - weight) < 5
        before = mine
    two.swapper.promote(identity(2))
    assert all(of_session(two, session) == 2 for session in SESSIONS[:100])


def test_h17_another_candidate_gets_other_sessions() -> None:
    first, second = ({session for session in SESSIONS if share(session, name) < 20} for name in ("a", "b"))
    assert 0.1 < len(first & second) / len(first) < 0.3


def test_share_is_the_same_in_every_pod_and_release() -> None:
    assert share("session-1", "3f2a9c1d0b") == pytest.approx(38.17636784951119)


def test_candidate_that_is_taken_back_gets_nothing_and_may_be_retired(two: Bench) -> None:
    two.swapper.split(identity(2), 50)
    two.swapper.promote(identity(1))
    assert {two.ask() for _ in range(20)} == {1}
    eventually(lambda: two.events(2)[-1] == "Reclaimed")


def test_version_can_be_asked_for_by_name(two: Bench) -> None:
    two.swapper.split(identity(2), 0)
    with two.swapper.acquire_named("v2") as model:
        assert model.infer() == 2
    with pytest.raises(NotServedError, match=r"version 'v3' of 'm' is not served here; 'v1', 'v2' is"):
        two.swapper.acquire_named("v3")


@pytest.mark.parametrize("weight", [-1, 101])
def test_weight_out_of_range_is_refused(two: Bench, weight: int) -> None:
    with pytest.raises(ValueError, match=f"weight is {weight}; it must be from 0 to 100"):
        two.swapper.split(identity(2), weight)


def test_stable_version_cannot_be_its_own_candidate(two: Bench) -> None:
    with pytest.raises(ValueError, match="cannot be the candidate"):
        two.swapper.split(identity(1), 10)
