"""`spec.rollout.analysis`: what is accepted, what is refused with words that help, and that the page about it is true."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from luntra_operator.api.analysis import OBJECTIVES, Analysis, Metric
from luntra_operator.api.quantities import seconds
from luntra_operator.api.rollout import Rollout
from luntra_serving.telemetry.stats import BOUNDS

PAGE = (Path(__file__).parents[3] / "docs/analysis.md").read_text()
ERRORS = {"name": "errors", "errorRate": {}, "max": 0.05}
QUERY = {"prometheus": {"query": "q"}}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing measured": ({"max": 0.1}, "exactly one of errorRate"),
    "two things measured": ({"errorRate": {}, "accuracy": {}, "max": 0.1}, "exactly one of errorRate"),
    "no limit": ({"errorRate": {}}, "needs a limit"),
    "limits of both kinds": (QUERY | {"max": 2, "minRatio": 0.5}, "limits of both kinds"),
    "the wrong kind": ({"errorRate": {}, "min": 0.5}, "of errorRate less is better; give max, maxIncrease or maxRatio"),
    "the other wrong kind": (
        {"accuracy": {}, "max": 0.5},
        "of accuracy more is better; give min, maxDecrease or minRatio",
    ),
    "percent for a share": ({"errorRate": {}, "max": 5}, "max is 5, but errorRate is a share; give 0.05 for 5 %"),
    "a bound of throughput": ({"throughput": {}, "min": 0.5}, "compared by minRatio alone"),
    "a ratio of accuracy": ({"accuracy": {}, "minRatio": 0.9}, "compared by maxDecrease"),
    "a window of counters": ({"errorRate": {}, "max": 0.1, "window": "1m"}, "are for queries"),
    "a limit for a job": ({"job": {"image": "i"}, "max": 1}, "judges by itself"),
    "a latency between two bounds": ({"latency": {"objective": "42ms"}, "max": 0.1}, "'50ms'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_means_nothing_is_refused_with_words_that_help(case: str) -> None:
    fields, told = REFUSED[case]
    with pytest.raises(ValidationError, match=re.escape(told)):
        Metric.model_validate({"name": "m", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        QUERY | {"max": 250.0, "consecutive": 3},
        QUERY | {"minRatio": 0.9, "window": "2m"},
        {"web": {"url": "https://stats.example/x", "jsonPath": "$.value"}, "maxIncrease": 2.0},
        {"job": {"image": "team/pnl:3"}},
        {"throughput": {}, "minRatio": 0.8},
    ],
)
def test_metrics_from_elsewhere_are_accepted(fields: dict[str, Any]) -> None:
    assert Metric.model_validate({"name": "m", **fields})


def test_each_name_may_be_used_once() -> None:
    with pytest.raises(ValidationError, match="'errors' is used more than once"):
        Analysis.model_validate({"metrics": [ERRORS, ERRORS]})


@pytest.mark.parametrize("interval", ["500ms", "2h"])
def test_an_interval_that_is_too_short_or_too_long_is_refused(interval: str) -> None:
    with pytest.raises(ValidationError, match="at least 1s and at most 1h"):
        Analysis.model_validate({"metrics": [ERRORS], "interval": interval})


def test_objectives_are_bounds_that_the_server_counts_by() -> None:
    """Breaks if a latency is asked about that no histogram can answer."""
    assert {seconds(objective) for objective in OBJECTIVES} <= set(BOUNDS)


def test_a_step_that_compares_needs_metrics_and_takes_no_hold() -> None:
    with pytest.raises(ValidationError, match="compare needs analysis"):
        Rollout.model_validate({"steps": [{"weight": 50, "compare": "24h"}]})
    with pytest.raises(ValidationError, match="remove hold"):
        Rollout.model_validate(
            {"steps": [{"weight": 50, "compare": "24h", "hold": "1h"}], "analysis": {"metrics": [ERRORS]}}
        )


def examples() -> list[Any]:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_the_pages_examples_are_what_the_types_accept() -> None:
    rollout, metric, steps, serving, service = examples()
    assert len(Rollout.model_validate(rollout["rollout"]).model_dump()["analysis"]["metrics"]) == 3
    assert Metric.model_validate(metric[0]).dry_run
    assert Rollout.model_validate({**steps, "analysis": rollout["rollout"]["analysis"]}).steps
    assert serving["serving"]["feedback"]["tokenSecretRef"]["key"]
    assert service["spec"]["selector"]["luntra.io/role"] == "serving"


def test_the_pages_defaults_are_the_codes() -> None:
    metric = Metric.model_validate(ERRORS)
    assert f"`minSamples` ({metric.least})" in PAGE
    assert f"`warmUp` ({Analysis.model_validate({'metrics': [ERRORS]}).warm_up})" in PAGE
