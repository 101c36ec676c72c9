"""What the metrics tell of single objects, read from objects that a real rollout has left."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from luntra_operator.controller.queue import WorkQueue
from luntra_operator.runtime.standing import families, standing
from luntra_operator.runtime.watches import Watches
from tests.gitops.recording import stored

OBJECTS = stored()
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(*situations: str) -> Series:
    """Everything that is told of these objects, without the labels that all of it has."""
    told = {(f"team-{number}", "digits"): standing(OBJECTS[name]) for number, name in enumerate(situations)}
    return {
        (sample.name, frozenset(sample.labels.items() - {("namespace", "team-0"), ("name", "digits")})): sample.value
        for family in families(told)
        for sample in family.samples
    }


def labels(**names: str) -> frozenset[tuple[str, str]]:
    return frozenset(names.items())


def info(phase: str, version: str, candidate: str = "") -> tuple[str, frozenset[tuple[str, str]]]:
    return "luntra_object_info", labels(model="digits", phase=phase, version=version, candidate=candidate)


@pytest.mark.parametrize(
    ("situation", "phase", "version"),
    [("created", "Pending", ""), ("stable", "Stable", "v1"), ("short", "Stable", "v1")],
)
def test_object_at_rest_is_one_series(situation: str, phase: str, version: str) -> None:
    """Breaks if a thousand objects at rest cost more than a thousand series."""
    assert series(situation) == {info(phase, version): 1}


def test_rollout_tells_when_its_phase_began_its_weights_its_pods_and_its_verdicts() -> None:
    began, weight, pods, verdict, value = (
        "luntra_rollout_phase_start_timestamp_seconds",
        "luntra_rollout_weight_percent",
        "luntra_rollout_ready_pods",
        "luntra_metric_verdict",
        "luntra_metric_value",
    )
    assert series("silent") == {
        info("Shifting", "v1", "v2"): 1,
        (began, labels(phase="Shifting")): 1767225600,
        (weight, labels(workload="digits-w2", number="desired")): 20,
        (weight, labels(workload="digits-w2", number="written")): 20,
        (weight, labels(workload="digits-w2", number="observed")): 20,
        (pods, labels(role="stable", version="v1")): 2,
        (pods, labels(role="candidate", version="v2")): 2,
        (verdict, labels(metric="errorRate", verdict="Pass")): 1,
        (verdict, labels(metric="latency", verdict="NoData")): 1,
        (value, labels(metric="errorRate", role="candidate")): 0.001,
        (value, labels(metric="errorRate", role="stable")): 0.002,
    }


def test_figures_of_a_soak_are_of_the_new_stable_version_and_the_one_before() -> None:
    body = OBJECTS["soaking"]
    figures = OBJECTS["silent"]["status"]["metrics"]
    told = standing({**body, "status": {**body["status"], "metrics": figures}})
    assert told.values == (("errorRate", "stable", 0.001), ("errorRate", "previous", 0.002))


def test_number_that_is_not_known_yet_is_not_told() -> None:
    """Breaks if a weight that nobody has seen yet is told as 0."""
    numbers = {
        dict(told).get("number") for name, told in series("preparing") if name == "luntra_rollout_weight_percent"
    }
    status = OBJECTS["preparing"]["status"]["traffic"]
    assert numbers == {number for number in ("desired", "written", "observed") if number in status}


@pytest.mark.parametrize(
    ("situation", "condition", "reason", "value"),
    [
        ("rolled-back", "Stalled", "RolledBack", 1),
        ("paused", "Stalled", "Paused", 1),
        ("invalid", "Stalled", "InvalidSpec", 1),
        ("unserved", "Available", "NotServing", 0),
        ("first", "Available", "NotServing", 0),
    ],
)
def test_condition_that_asks_for_a_person_is_told(situation: str, condition: str, reason: str, value: float) -> None:
    told = {key: value for key, value in series(situation).items() if key[0] == "luntra_object_condition"}
    assert told == {("luntra_object_condition", labels(condition=condition, reason=reason)): value}


def test_object_over_budget_is_told_although_it_serves() -> None:
    body = OBJECTS["stable"]
    excess = {"type": "OverBudget", "status": "True", "reason": "AcceleratorsExceeded"}
    status = {**body["status"], "conditions": [*body["status"]["conditions"], excess]}
    assert standing({**body, "status": status}).worries == (("OverBudget", "AcceleratorsExceeded", True),)


def test_model_has_the_name_of_its_spec() -> None:
    body = {"metadata": {"namespace": "n", "name": "digits"}, "spec": {"model": {"name": "numbers"}}}
    assert standing(body).model == "numbers"


async def test_object_that_was_made_again_is_told_once() -> None:
    """Breaks if Prometheus gets two samples of one series, where a deletion was missed."""

    async def nothing(key: Any) -> None:
        """Work that is done at once."""

    class Read(Collector):
        def collect(self) -> Any:
            yield from families(watches.standings)

    watches, registry = Watches(WorkQueue(nothing), ()), CollectorRegistry(auto_describe=False)
    registry.register(Read())
    for uid, situation in (("u1", "stable"), ("u2", "first")):
        body = OBJECTS[situation]
        meta = {**body["metadata"], "uid": uid}
        await watches._object_event({"type": "ADDED", "object": {**body, "metadata": meta}})
    (found,) = (one for one in registry.collect() if one.name == "luntra_object_info")
    assert [sample.labels["phase"] for sample in found.samples] == ["Preparing"]
    await watches._object_event({"type": "DELETED", "object": {"metadata": meta}})
    watches.keep_only(set())
    assert watches.standings == {}
