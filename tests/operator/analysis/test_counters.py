"""What has come since the last look, of counters that only grow: over restarts, farewells and pods that come and go."""

from luntra_operator.analysis.counters import Feedback, Gain, Reading, Tally, Traffic


def reading(
    total: int,
    failed: int = 0,
    *,
    instance: str = "a",
    in_flight: int = 0,
    age: float | None = 60.0,
    draining: bool = False,
) -> Reading:
    traffic = Traffic(total, failed, answered=total - failed, timed=total, within={0.1: total - failed})
    return Reading(instance, draining, traffic, in_flight, age)


def looked(*looks: dict[str, Reading], pods: list[list[str]] | None = None) -> list[Gain]:
    tally, gains = Tally(), []
    for number, readings in enumerate(looks):
        tally, gain = tally.after(pods[number] if pods else readings, readings, warm_up=10.0)
        gains.append(gain)
    return gains


def test_what_was_counted_before_the_first_look_is_nobodys() -> None:
    """Breaks if the requests of checks count as users'."""
    first, second = looked({"p": reading(5000, 200)}, {"p": reading(5010, 201)})
    assert first == Gain()
    assert (second.warm.total, second.warm.failed, second.warm.answered) == (10, 1, 9)
    assert dict(second.warm.within) == {0.1: 9}


def test_a_pod_that_comes_later_counts_from_its_beginning() -> None:
    _, second = looked({"p": reading(100)}, {"p": reading(100), "q": reading(7)})
    assert second.warm.total == 7


def test_a_pod_that_did_not_answer_the_first_look_is_no_new_one() -> None:
    """Breaks if its checks count once it answers."""
    gains = looked({}, {"p": reading(900)}, {"p": reading(905)}, pods=[["p"]] * 3)
    assert [gain.warm.total for gain in gains] == [0, 0, 5]


def test_what_a_process_had_in_flight_when_it_ended_has_failed() -> None:
    """Breaks if a version that crashes on a request looks clean: no answer was ever counted."""
    _, second = looked({"p": reading(100, in_flight=3)}, {"p": reading(4, instance="b")})
    assert (second.warm.total, second.warm.failed) == (4 + 3, 3)


def test_a_process_that_said_farewell_has_finished_what_it_had() -> None:
    _, second = looked({"p": reading(100, in_flight=3, draining=True)}, {"p": reading(4, instance="b")})
    assert (second.warm.total, second.warm.failed) == (4, 0)


def test_a_pod_that_is_gone_counts_nothing_and_is_forgotten() -> None:
    gains = looked({"p": reading(100, in_flight=3)}, {}, {"p": reading(105)}, pods=[["p"], [], ["p"]])
    assert [gain.warm.total for gain in gains] == [0, 0, 0]


def test_a_silent_pod_loses_nothing() -> None:
    gains = looked({"p": reading(100)}, {}, {"p": reading(130, 2)}, pods=[["p"]] * 3)
    assert (gains[2].warm.total, gains[2].warm.failed) == (30, 2)


def test_the_first_seconds_of_a_pod_are_cold() -> None:
    _, second, third, fourth = looked(
        {"p": reading(0, age=None)},
        {"p": reading(3, age=2.0)},
        {"p": reading(9, age=9.9)},
        {"p": reading(20, age=10.0)},
    )
    assert [second.cold.total, third.cold.total, fourth.cold.total] == [3, 6, 0]
    assert [second.warm.total, third.warm.total, fourth.warm.total] == [0, 0, 11]
    assert fourth.all.total == 11


def told(told: int, worth: float) -> Reading:
    return Reading("a", draining=False, traffic=Traffic(), age=60.0, feedback={"r1": Feedback(told, worth)})


def test_feedback_is_counted_by_revision_whichever_pod_has_it() -> None:
    _, second = looked({"p": told(10, 9), "q": told(4, 4)}, {"p": told(12, 10), "q": told(5, 5)})
    assert second.feedback == {"r1": Feedback(3, 2)}


def test_feedback_that_a_server_forgot_begins_anew() -> None:
    _, second = looked({"p": told(10, 9)}, {"p": told(2, 1)})
    assert second.feedback == {"r1": Feedback(2, 1)}
