"""From what pods counted to what metrics say: shares, steps, cold pods, the frozen baseline and a restart in between."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from luntra_operator.analysis.counters import Feedback, Gain, Traffic
from luntra_operator.analysis.looks import Look, MetricTest
from luntra_operator.analysis.shares import ShareTest
from luntra_operator.analysis.verdicts import begin
from luntra_operator.api.analysis import Analysis
from luntra_operator.api.status import MetricStatus

COMPARED = {"errorRate": {}, "maxIncrease": 0.005}


def declared(
    *metrics: dict[str, Any], known: dict[str, MetricStatus] | None = None, rate: float = 0.01
) -> list[MetricTest]:
    named = [{"name": f"metric-{number}", **metric} for number, metric in enumerate(metrics)]
    analysis = Analysis.model_validate({"metrics": named, "falseAlarmRate": rate})
    return [test.at("5 %") for test in begin(analysis, known or {})]


def only(metric: dict[str, Any], **more: Any) -> MetricTest:
    [test] = declared(metric, **more)
    return test


def requests(total: int, failed: int = 0, slow: int = 0) -> Traffic:
    return Traffic(total, failed, answered=total - failed, timed=total, within={0.05: total - slow, 1.0: total})


def look(candidate: Traffic, stable: Traffic | None = None, *, cold: Traffic | None = None) -> Look:
    return Look(Gain(cold=cold or Traffic(), warm=candidate), Gain(warm=stable or requests(100)), "r2", "r1")


def test_a_version_as_good_as_the_stable_one_passes_with_its_figures() -> None:
    said = only(COMPARED).after(look(requests(200, 1), requests(1000, 4))).said
    assert said.verdict == "Pass"
    assert said.message == "error rate 0.5 % of 200 vs 0.4 % of 1,000 on stable (p = 1)"
    assert (said.value, said.samples, said.stable_value, said.stable_samples) == (0.005, 200, 0.004, 1000)


def test_a_version_that_fails_much_more_often_is_refused() -> None:
    said = (
        only(COMPARED).after(look(requests(50), requests(500, 2))).after(look(requests(100, 30), requests(500, 2))).said
    )
    assert said.verdict == "Fail"
    assert said.message.startswith("error rate 20 % of 150 vs 0.4 % of 1,000 on stable, more than 0.5 pp above stable")


def test_errors_that_stable_has_too_are_no_regression() -> None:
    """Breaks if a bad input that everybody gets is held against the candidate."""
    said = only(COMPARED).after(look(requests(200, 40), requests(1000, 200))).said
    assert said.verdict == "Pass"


def test_too_few_requests_are_no_data_and_say_how_many_there_are() -> None:
    said = only(COMPARED | {"minSamples": 50}).after(look(requests(12), requests(300))).said
    assert said.verdict == "NoData"
    assert said.message.startswith("12 requests at this step, minSamples is 50")


def test_too_few_requests_of_stable_are_no_data_where_it_is_compared_with() -> None:
    scarce = look(requests(300), requests(3))
    assert only(COMPARED | {"minSamples": 50}).after(scarce).said.verdict == "NoData"
    assert only({"errorRate": {}, "max": 0.01, "minSamples": 50}).after(scarce).said.verdict == "Pass"


def test_each_step_is_silent_until_somebody_asks_at_it() -> None:
    """Breaks if a rollout goes through all steps with what was seen at the first, while nobody asks any more."""
    seen = only(COMPARED).after(look(requests(200), requests(1000)))
    assert seen.said.verdict == "Pass"
    assert seen.at("5 %").said.verdict == "Pass"
    following = seen.at("25 %")
    assert following.said.verdict == "NoData"
    assert following.after(look(requests(200), requests(1000))).said.verdict == "Pass"


def test_evidence_goes_on_from_step_to_step() -> None:
    """Breaks if each step gives a bad version another chance."""
    test = only(COMPARED)
    for step in range(40):
        test = test.at(f"{step} %").after(look(requests(10, 1), requests(100)))
    assert test.said.verdict == "Fail"


def test_what_is_surely_bad_is_refused_with_fewer_requests() -> None:
    said = (
        only(COMPARED | {"minSamples": 1000}).after(look(requests(1), requests(100))).after(look(requests(9, 9))).said
    )
    assert said.verdict == "Fail"


def test_slow_requests_are_counted_by_the_objective() -> None:
    metric = {"latency": {"objective": "50ms"}, "maxRatio": 2}
    test = only(metric).after(look(requests(100, slow=2), requests(500, slow=10)))
    assert test.said.verdict == "Pass"
    test = test.after(look(requests(100, slow=60), requests(500, slow=10)))
    assert test.said.verdict == "Fail"
    assert test.said.message.startswith("slower than 50ms 31 % of 200 vs 2 % of 1,000 on stable")


def test_accuracy_is_of_what_feedback_said_wherever_it_was_told() -> None:
    metric = {"accuracy": {}, "maxDecrease": 0.05}
    mine, theirs = Feedback(200, 150), Feedback(800, 760)
    told = Look(Gain(feedback={"r1": theirs}), Gain(feedback={"r2": mine}), "r2", "r1")
    test = only(metric).after(replace(told, candidate=Gain(), stable=Gain(feedback={"r1": Feedback(100, 95)})))
    said = test.after(told).said
    assert said.verdict == "Fail"
    assert (said.value, said.samples, said.stable_value, said.stable_samples) == (0.75, 200, 0.95, 900)


def test_errors_of_cold_pods_are_errors() -> None:
    """Breaks if a version that fails from its first request on has ten seconds in which nobody minds."""
    said = only(COMPARED).after(look(Traffic(), requests(1000), cold=requests(60, 40))).said
    assert (said.verdict, said.samples) == ("Fail", 60)


def test_cold_pods_are_not_compared_but_keep_to_bounds_of_their_own() -> None:
    slow = look(Traffic(), requests(1000), cold=requests(60, slow=40))
    compared = only({"latency": {"objective": "50ms"}, "maxRatio": 2}).after(slow)
    assert compared.said.verdict == "NoData"
    assert only({"latency": {"objective": "50ms"}, "max": 0.1}).after(slow).said.verdict == "Fail"


def test_the_false_alarm_rate_is_shared_by_all_metrics() -> None:
    """Breaks if ten metrics take back ten times as many good versions."""
    found = declared(COMPARED, COMPARED, COMPARED, COMPARED, rate=0.04)
    # Half of each is kept for the baseline of the soak.
    assert [2 * test.test.alpha for test in found if isinstance(test, ShareTest)] == [0.01] * 4


def status_of(test: MetricTest) -> MetricStatus:
    said = test.said
    return MetricStatus(
        name="metric-0",
        verdict="Pass",
        message="",
        since=datetime(2026, 11, 21, tzinfo=UTC),
        evidence=list(said.evidence),
        value=said.value,
        samples=said.samples,
        stable_value=said.stable_value,
        stable_samples=said.stable_samples,
    )


def test_a_restarted_operator_goes_on_with_the_evidence() -> None:
    """Breaks if a bad version gains time by every restart of the operator."""
    batch = look(requests(20, 2), requests(200))
    test = only(COMPARED)
    looks = 0
    while test.said.verdict != "Fail":
        test, looks = test.after(batch), looks + 1
    assert looks > 4
    half = only(COMPARED)
    for _ in range(looks - 3):
        half = half.after(batch)
    resumed = only(COMPARED, known={"metric-0": status_of(half)})
    assert resumed.said.evidence == pytest.approx(half.said.evidence)
    for _ in range(looks):
        resumed = resumed.after(batch)
    assert resumed.said.verdict == "Fail"


@pytest.mark.parametrize("metric", [COMPARED, COMPARED | {"maxRatio": 1.5}, COMPARED | {"max": 0.9}])
def test_an_operator_that_is_restarted_in_the_soak_knows_the_baseline(metric: dict[str, Any]) -> None:
    """Breaks if a version that fails in the soak has nothing to be compared with any more."""
    test = only(metric).after(look(requests(500, 2), requests(2000, 8))).at("").freeze()
    assert (test.said.stable_value, test.said.stable_samples) == (0.004, 2000)
    resumed = only(metric, known={"metric-0": status_of(test)}).at("").freeze()
    assert (resumed.said.stable_value, resumed.said.stable_samples) == (0.004, 2000)
    assert resumed.after(look(requests(500, 100), Traffic())).said.verdict == "Fail"


def test_figures_go_on_after_a_restart() -> None:
    test = only(COMPARED).after(look(requests(200, 1), requests(1000, 4)))
    resumed = only(COMPARED, known={"metric-0": status_of(test)}).after(look(requests(100, 2), requests(1000, 6)))
    assert (resumed.said.value, resumed.said.samples) == (0.01, 300)
    assert (resumed.said.stable_value, resumed.said.stable_samples) == (0.005, 2000)


def test_while_the_old_version_is_only_warm_its_share_is_frozen() -> None:
    """Breaks if nothing is judged in the soak, where stable gets no requests."""
    test = only(COMPARED).after(look(requests(500, 2), requests(2000, 8))).freeze()
    calm = test.after(look(requests(100, 1), Traffic()))
    assert calm.said.verdict == "Pass"
    assert calm.freeze() is calm
    assert calm.after(look(requests(500, 100), Traffic())).said.verdict == "Fail"


SLOW = {"latency": {"objective": "50ms"}, "maxRatio": 1.5}


def test_a_machine_that_slows_down_in_the_soak_is_not_the_candidates_fault() -> None:
    """Breaks if latency is compared with what the old version had when it was asked: a busy node takes good versions back."""
    test = only(SLOW).after(look(requests(500, slow=100), requests(2000, slow=400))).freeze()
    assert test.after(look(requests(2000, slow=1990), Traffic())).said.verdict == "Pass"


def test_a_bound_of_latency_holds_in_the_soak_too() -> None:
    test = only(SLOW | {"max": 0.6}).after(look(requests(500, slow=100), requests(2000, slow=400))).freeze()
    assert test.after(look(requests(2000, slow=1990), Traffic())).said.verdict == "Fail"


def test_silence_in_the_soak_is_no_news() -> None:
    test = only(COMPARED | {"minSamples": 100}).after(look(requests(500), requests(2000))).at("").freeze()
    assert test.said.verdict == "Pass"
    assert test.said.samples == 500


THROUGHPUT = {"throughput": {}, "minRatio": 0.8, "minSamples": 30}


def answered(mine: int, theirs: int, weight: int | None = 20) -> Look:
    return Look(Gain(warm=requests(mine)), Gain(warm=requests(theirs)), "r2", "r1", weight)


def test_a_version_that_answers_what_is_due_passes() -> None:
    test = only(THROUGHPUT).after(answered(100, 400))
    assert test.said.verdict == "Pass"
    assert test.said.message == "100 answers of 100 that were due by weight (p = 1)"
    assert test.said.value == 1.0


def test_a_version_that_hangs_is_refused_though_nothing_of_it_failed() -> None:
    """Breaks if no answer passes for no error."""
    test = only(THROUGHPUT)
    for _ in range(10):
        test = test.after(answered(0, 40))
    assert test.said.verdict == "Fail"


def test_throughput_is_silent_at_each_step_until_something_is_due() -> None:
    test = only(THROUGHPUT).after(answered(100, 400)).at("60 %")
    assert test.said.verdict == "NoData"
    assert test.said.message.startswith("0 answers were due at this step, minSamples is 30")
    assert test.after(answered(60, 40, 60)).said.verdict == "Pass"


def test_a_look_in_which_the_weight_changed_says_nothing_of_throughput() -> None:
    assert only(THROUGHPUT).after(answered(0, 1000, None)).said.verdict == "NoData"


def test_throughput_that_was_found_stays_so_in_the_soak() -> None:
    test = only(THROUGHPUT).after(answered(100, 400)).at("").freeze()
    assert test.after(answered(0, 0, 100)).said.verdict == "Pass"
