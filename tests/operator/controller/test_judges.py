"""Which judges a declaration gets."""

from typing import TYPE_CHECKING, Any, cast

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus
from luntra_operator.controller.judges import Judges
from luntra_operator.controller.live import LiveJudge
from luntra_operator.controller.measuring import MeasuringJudge
from luntra_operator.controller.sampling import Trial
from luntra_operator.controller.sourced import SourcedJudge

if TYPE_CHECKING:
    from luntra_operator.kube.client import Kube
    from luntra_operator.pods.client import Pods
    from luntra_operator.sources.opened import Sources

COUNTED = [{"name": "errors", "errorRate": {}, "max": 0.1}, {"name": "answers", "throughput": {}, "minRatio": 0.8}]
ASKED = [
    {"name": "queue", "prometheus": {"query": "q"}, "max": 10},
    {"name": "trades", "web": {"url": "https://stats.example/x", "jsonPath": "$.x"}, "min": 1},
]
MEASURED = [{"name": "pnl", "job": {"image": "team/pnl:3"}}]


class Everything:
    """Stands for sources that nobody asks here."""

    def __getattr__(self, name: str) -> "Everything":
        return self

    def __call__(self, *_: object) -> None:
        raise AssertionError("nobody is asked before the first look")


def judges_of(metrics: list[dict[str, Any]] | None) -> list[type]:
    spec: dict[str, Any] = {"model": {"version": "v2", "uri": "file:///m", "digest": "sha256:" + "a" * 64}}
    if metrics is not None:
        spec["rollout"] = {"analysis": {"metrics": metrics}}
    nobody = Everything()
    judges = Judges(cast("Kube", nobody), cast("Pods", nobody), cast("Sources", nobody))
    trial = Trial("uid", "team-a", "digits", ModelDeploymentSpec.model_validate(spec), ModelDeploymentStatus())
    found = judges(trial)
    assert all(judgement.verdict in ("NoData", "Error") for judge in found for judgement in judge.judgements)
    return [type(judge) for judge in found]


def test_whoever_declares_nothing_has_no_judge() -> None:
    assert judges_of(None) == []


def test_pods_are_asked_once_for_all_that_they_count() -> None:
    """Breaks if a pod is asked once a metric."""
    assert judges_of(COUNTED) == [LiveJudge]


def test_each_metric_from_elsewhere_has_a_judge_of_its_own() -> None:
    """Breaks if one source that hangs holds up the others."""
    assert judges_of([*ASKED, *MEASURED]) == [SourcedJudge, SourcedJudge, MeasuringJudge]
    assert judges_of([*COUNTED, *ASKED, *MEASURED]) == [LiveJudge, SourcedJudge, SourcedJudge, MeasuringJudge]
