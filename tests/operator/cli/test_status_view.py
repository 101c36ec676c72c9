"""From an object to what a person sees; text is what `rich` would print without colours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console, RenderableType

from luntra_operator.cli.render import listing, rollout, span
from luntra_operator.cli.view import Traffic, view

NOW = datetime(2026, 11, 20, 10, 2, 12, tzinfo=UTC)


def text_of(drawn: RenderableType, width: int = 110) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(drawn)
        return console.export_text()


def shown(document: dict[str, Any]) -> str:
    return text_of(rollout(view(document, NOW)))


def test_a_rollout_under_way_is_shown_in_one_look(shifting: dict[str, Any]) -> None:
    text = shown(shifting)
    for expected in (
        "digits  shop",
        "Shifting for 1m 12s",
        "v1 → v2",
        "rollout 3",
        "v2 24 %   v1 76 %",
        "decided 25 % · in the route 25 % · seen 24 %",
        "2 of 4   5 % ─ [25 %] ─ 50 % ─ 100 %",
        "12s of 30s",
        "stable     v1  digits-w1  2/2 ready",
        "candidate  v2  digits-w2  1/2 ready",
        "✔ evaluation  accuracy 0.981 of 360 samples is within bounds",
        "… benchmark   running",
        "✘ v1b  EvaluationFailed  revision dead00beef",
        "accuracy 0.412 of 360 samples is below min 0.9",
        "Reconciling  True   TrafficShifting  step 2 of 4",
        "✘ RolledBack  v1b  EvaluationFailed  in 41s     1h 1m ago",
        "✔ Promoted    v1   Promoted          in 2m 30s  2d 1h ago",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("traffic", "bar"),
    [
        ({"desired": 0, "written": 0, "observed": 0}, 0),
        ({"desired": 1, "written": 1, "observed": 1}, 1),
        ({"desired": 25, "written": 25, "observed": None}, 10),
        ({"desired": 25, "written": 5, "observed": None}, 2),
        ({"desired": 25, "written": None, "observed": None}, 10),
        ({"desired": 99, "written": 99, "observed": 99}, 39),
        ({"desired": 100, "written": 100, "observed": 100}, 40),
    ],
)
def test_the_bar_is_what_users_most_likely_get(shifting: dict[str, Any], traffic: dict[str, Any], bar: int) -> None:
    shifting["status"]["traffic"] = traffic
    assert shown(shifting).count("█") == bar


@pytest.mark.parametrize("workload", ["digits-w2", None])
def test_the_weights_are_the_candidates(shifting: dict[str, Any], workload: str | None) -> None:
    shifting["status"]["traffic"] = {"workload": workload, "desired": 25, "written": 5, "observed": None}
    if workload is None:
        del shifting["status"]["traffic"]["workload"]
    assert view(shifting, NOW).traffic == Traffic(25, 5, None)


def test_weights_that_speak_of_stable_are_turned_around(shifting: dict[str, Any]) -> None:
    shifting["status"]["traffic"] = {"workload": "digits-w1", "desired": 100, "written": 100, "observed": None}
    assert view(shifting, NOW).traffic == Traffic(0, 0, None)
    del shifting["status"]["candidate"]
    text = shown(shifting)
    assert "v1 100 %" in text
    assert "decided" not in text


def test_a_hold_that_has_not_begun_says_what_it_waits_for(shifting: dict[str, Any]) -> None:
    shifting["status"]["step"] = {"index": 0, "weight": 5, "startedAt": None}
    assert "hold of 30s begins when the gateway follows" in shown(shifting)


def test_the_implied_last_step_is_the_last(shifting: dict[str, Any]) -> None:
    shifting["status"]["step"] = {"index": 3, "weight": 100}
    text = shown(shifting)
    assert "4 of 4" in text
    assert "[100 %]" in text


def test_an_object_that_nobody_looked_at_says_so() -> None:
    text = shown({"metadata": {"name": "digits"}, "spec": {"model": {"version": "v1"}}})
    assert "Unobserved" in text
    assert "asked for: v1" in text
    assert "the operator has not looked at this object yet" in text


def test_a_paused_object_says_so(shifting: dict[str, Any]) -> None:
    shifting["spec"]["rollout"]["paused"] = True
    assert "Shifting (paused)" in shown(shifting)


@pytest.mark.parametrize(("verdict", "mark"), [("Pass", "✔"), ("Fail", "✘"), ("NoData", "?"), ("Error", "!")])
def test_each_verdict_has_its_mark(shifting: dict[str, Any], verdict: str, mark: str) -> None:
    shifting["status"]["checks"] = [{"name": "benchmark", "verdict": verdict, "reason": "Because"}]
    assert f"{mark} benchmark  Because" in shown(shifting)


REFUSED = {
    "name": "benchmark",
    "verdict": "Fail",
    "reason": "P50AboveRatio",
    "message": "p50 is 3.1 times stable's",
    "attempt": 2,
    "candidate": {"p50Ms": 12.61, "p99Ms": 30, "throughput": 49.97, "errorRate": 0.002},
    "stable": {"p50Ms": 4.07},
    "failedAttempts": [{"attempt": 1, "reason": "OOMKilled", "message": "exit code 137"}],
    "log": ["stable, window 39: p50 4 ms", "candidate, window 40: p50 [12] ms"],
}


def test_a_check_that_did_not_pass_is_shown_with_what_it_found(
    shifting: dict[str, Any],
) -> None:
    shifting["status"]["checks"] = [REFUSED]
    text = shown(shifting)
    for piece in (
        "✘ benchmark  P50AboveRatio  p50 is 3.1 times stable's",
        "candidate  p50 12.6 ms   p99 30 ms   49.97 requests/s   0.20% errors",
        "stable     p50 4.07 ms",
        "try 1 could not be made: OOMKilled: exit code 137",
    ):
        assert piece in text
    assert "window 40" not in text
    shifting["status"]["checks"] = [REFUSED | {"verdict": "Error"}]
    assert "│ candidate, window 40: p50 [12] ms" in shown(shifting)
    shifting["status"]["checks"] = [REFUSED | {"verdict": "Pass", "message": "fine"}]
    passed = shown(shifting)
    assert "✔ benchmark  fine" in passed
    assert "window 40" not in passed
    assert "p50 12.6 ms" not in passed


def test_a_check_that_passed_without_its_relative_bound_says_so(shifting: dict[str, Any]) -> None:
    why = "stable could not be compared with in 2 tries"
    shifting["status"]["checks"] = [REFUSED | {"verdict": "Pass", "reason": "StableNotCompared", "message": why}]
    text = shown(shifting)
    assert f"! benchmark  StableNotCompared  {why}" in text
    assert "candidate  p50 12.6 ms" in text
    assert "try 1 could not be made" in text


def test_a_running_check_says_which_try_it_is_and_what_is_in_its_way(shifting: dict[str, Any]) -> None:
    shifting["status"]["checks"] = [{"name": "benchmark", "attempt": 2, "message": "0/3 nodes are available"}]
    assert "… benchmark  running, try 2: 0/3 nodes are available" in shown(shifting)


def test_at_most_ten_finished_rollouts_are_shown(shifting: dict[str, Any]) -> None:
    shifting["status"]["history"] = [{"version": f"h{n}", "outcome": "Promoted"} for n in range(12)]
    text = shown(shifting)
    assert "h9" in text
    assert "h10" not in text


def test_text_from_the_cluster_is_never_markup(shifting: dict[str, Any]) -> None:
    shifting["status"]["rejectedMessage"] = "[red]not[/red] [/] markup"
    assert "[red]not[/red] [/] markup" in shown(shifting)


def test_an_object_of_an_older_or_newer_operator_is_still_shown(shifting: dict[str, Any]) -> None:
    shifting["status"] = {
        "phase": "Dancing",
        "stable": {"version": "v1"},
        "step": {},
        "traffic": {},
        "checks": [{}],
        "history": [{}],
        "conditions": [{}],
        "rejectedRevision": "abc",
    }
    text = shown(shifting)
    assert "Dancing" in text
    assert "revision abc" in text


def test_the_table_has_a_line_for_each(shifting: dict[str, Any]) -> None:
    other = {"metadata": {"name": "prices", "namespace": "n2"}, "spec": {}}
    lines = text_of(listing([view(shifting, NOW), view(other, NOW)], with_namespace=True)).splitlines()
    digits, prices = (next(line for line in lines if name in line).split() for name in ("digits", "prices"))
    assert digits[:8] == ["shop", "digits", "●", "Shifting", "v1", "v2", "24", "%"]
    assert prices[:4] == ["n2", "prices", "●", "Unobserved"]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(shifting: dict[str, Any], width: int) -> None:
    drawn = rollout(view(shifting, NOW))
    assert max(len(line) for line in text_of(drawn, width).splitlines()) <= width


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (72, "1m 12s"),
        (3600, "1h"),
        (11_100, "3h 5m"),
        (190_800, "2d 5h"),
    ],
)
def test_spans_are_written_as_people_say_them(duration: float, text: str) -> None:
    assert span(duration) == text


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        ("Pass", "✔ errors  error rate 0.3 % of 812"),
        ("Fail", "✘ errors  error rate 0.3 % of 812"),
        ("NoData", "? errors  NoData  error rate 0.3 % of 812"),
        ("Error", "! errors  Error  error rate 0.3 % of 812"),
    ],
)
def test_metrics_are_shown_with_their_figures(shifting: dict[str, Any], verdict: str, line: str) -> None:
    shifting["status"]["metrics"] = [{"name": "errors", "verdict": verdict, "message": "error rate 0.3 % of 812"}]
    assert line in shown(shifting)


def test_a_metric_that_decides_nothing_says_so(shifting: dict[str, Any]) -> None:
    shifting["status"]["metrics"] = [{"name": "errors", "verdict": "Fail", "message": "4 %", "dryRun": True}]
    assert "4 %  (dry run)" in shown(shifting)
