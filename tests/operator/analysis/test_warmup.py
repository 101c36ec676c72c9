"""What of pods' totals is counted, and what of it as cold."""

from luntra_operator.analysis.evidence import Counts
from luntra_operator.analysis.warmup import WarmUp

NONE = Counts()


def test_what_a_pod_had_counted_before_it_was_seen_is_not_counted() -> None:
    state, warm, cold = WarmUp().after(0, {"a": Counts(7, 500)})
    assert (warm, cold) == (NONE, NONE)
    _, warm, cold = state.after(1, {"a": Counts(8, 520)})
    assert (warm, cold) == (Counts(1, 20), NONE)


def test_seconds_of_a_pod_are_cold_from_when_it_was_seen() -> None:
    state, _, _ = WarmUp(seconds=10).after(0, {"a": NONE})
    state, warm, cold = state.after(9, {"a": Counts(3, 9), "late": NONE})
    assert (warm, cold) == (NONE, Counts(3, 9))
    state, warm, cold = state.after(12, {"a": Counts(4, 12), "late": Counts(1, 2)})
    assert (warm, cold) == (Counts(1, 3), Counts(1, 2))
    _, warm, cold = state.after(19, {"a": Counts(4, 12), "late": Counts(1, 5)})
    assert (warm, cold) == (Counts(0, 3), NONE)


def test_first_requests_of_a_pod_are_cold_as_it_counts_them_itself() -> None:
    state, _, _ = WarmUp(requests=100).after(0, {"new": Counts(0, 40), "old": Counts(0, 4000)})
    state, warm, cold = state.after(1, {"new": Counts(5, 99), "old": Counts(1, 4059)})
    assert (warm, cold) == (Counts(1, 59), Counts(5, 59))
    state, warm, cold = state.after(2, {"new": Counts(5, 130), "old": Counts(1, 4059)})
    assert (warm, cold) == (NONE, Counts(0, 31))
    _, warm, cold = state.after(3, {"new": Counts(5, 140), "old": Counts(1, 4059)})
    assert (warm, cold) == (Counts(0, 10), NONE)


def test_pod_that_began_anew_is_counted_from_nothing_and_is_cold_again() -> None:
    state, _, _ = WarmUp(seconds=10).after(0, {"a": Counts(9, 90)})
    state, warm, _ = state.after(20, {"a": Counts(9, 100)})
    assert warm == Counts(0, 10)
    state, warm, cold = state.after(21, {"a": Counts(2, 3)})
    assert (warm, cold) == (NONE, Counts(2, 3))
    _, warm, cold = state.after(31, {"a": Counts(2, 5)})
    assert (warm, cold) == (Counts(0, 2), NONE)


def test_pod_that_did_not_answer_is_made_up_for() -> None:
    state, _, _ = WarmUp().after(0, {"a": NONE})
    state, warm, _ = state.after(1, {})
    assert warm == NONE
    _, warm, _ = state.after(2, {"a": Counts(2, 20)})
    assert warm == Counts(2, 20)
