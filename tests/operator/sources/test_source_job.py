"""The Job of a user's own measurement, and what its end says."""

from dataclasses import replace
from typing import Any

import pytest

from luntra_operator.api.sources import JobQuery
from luntra_operator.sources.job import CONTAINER, Verdict, environment, job, read, said
from luntra_operator.sources.target import Target

METADATA = {"name": "gas-price-w2-drift-1", "namespace": "team-a", "labels": {"luntra.io/role": "check"}}


def ended(message: str = "", code: int = 0, reason: str = "Completed", name: str = CONTAINER) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return {"status": {"containerStatuses": [{"name": name, "state": state}]}}


def test_job_runs_the_users_container_and_gives_it_no_rights(target: Target) -> None:
    query = JobQuery.model_validate(
        {
            "image": "team/drift:1",
            "command": ["measure"],
            "args": ["--since", "$(LUNTRA_WINDOW)"],
            "env": [{"name": "MODE", "value": "fast"}, {"name": "KEY", "secretKeyRef": {"name": "s", "key": "k"}}],
            "resources": {"limits": {"memory": "1Gi"}},
            "timeout": "90s",
        }
    )
    body = job(query, target, METADATA)
    assert body["metadata"] == METADATA
    spec, template = body["spec"], body["spec"]["template"]
    assert (spec["activeDeadlineSeconds"], spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (210, 0, 3600)
    assert template["metadata"]["labels"] == METADATA["labels"]
    pod = template["spec"]
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"], pod["restartPolicy"]) == (
        False,
        False,
        "Never",
    )
    assert pod["securityContext"]["runAsNonRoot"]
    assert "serviceAccountName" not in pod
    (container,) = pod["containers"]
    assert (container["image"], container["command"]) == ("team/drift:1", ["measure"])
    assert container["args"] == ["--since", "$(LUNTRA_WINDOW)"]
    assert container["resources"] == {"limits": {"memory": "1Gi"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # The user's come last, so that they can refer to ours.
    assert [entry["name"] for entry in container["env"][:-2]] == list(environment(target))
    assert container["env"][-2:] == [
        {"name": "MODE", "value": "fast"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]


def test_container_is_told_whom_to_measure(target: Target) -> None:
    assert environment(target) == {
        "LUNTRA_NAMESPACE": "team-a",
        "LUNTRA_NAME": "gas-price",
        "LUNTRA_REVISION": "0a1b2c3d4e",
        "LUNTRA_STABLE_REVISION": "f0e1d2c3b4",
        "LUNTRA_WORKLOAD": "gas-price-w2",
        "LUNTRA_CANDIDATE_URL": "http://gas-price-w2.team-a.svc:8080",
        "LUNTRA_STABLE_URL": "http://gas-price-w1.team-a.svc:8080",
        "LUNTRA_WINDOW": "30",
        "LUNTRA_VERDICT": "/dev/termination-log",
    }
    first = environment(replace(target, stable_revision=None, stable_workload=None))
    assert (first["LUNTRA_STABLE_REVISION"], first["LUNTRA_STABLE_URL"]) == ("", "")


def test_image_alone_is_enough(target: Target) -> None:
    (container,) = job(JobQuery(image="team/drift:1"), target, METADATA)["spec"]["template"]["spec"]["containers"]
    assert not {"command", "args", "resources"} & container.keys()


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"verdict": "Pass"}', Verdict("Pass", "Measured")),
        ('{"verdict":"Fail","message":"drift","value":0.4}\n', Verdict("Fail", "Measured", "drift", 0.4)),
        ('loading\n{"verdict": "NoData"}\nbye', Verdict("NoData", "Measured")),
        ('{"verdict": "Fail"}\n{"verdict": "Pass"}', Verdict("Pass", "Measured")),
        ('{\n "verdict": "Pass",\n "more": [1]\n}', Verdict("Pass", "Measured")),
        ('{"step": 1}\n{"verdict": "Pass", "value": 3}\n{"step": 2}', Verdict("Pass", "Measured", "", 3.0)),
    ],
)
def test_verdict_is_the_last_line_that_is_one(text: str, verdict: Verdict) -> None:
    assert said(text) == verdict
    assert read(ended(text)) == verdict


@pytest.mark.parametrize(
    "text",
    ["", "Pass", "{", '{"verdict": "pass"}', '{"verdict": "Error"}', '{"verdict": 1}', "[]", '{"verdict": "Pass", "value": "0.1"}',
     '{"verdict": "Pass", "value": NaN}', '{"verdict": "Pass", "value": true}', '{"verdict": "Pass", "message": 5}', '{"a":' * 2000],
)  # fmt: skip
def test_what_is_no_verdict_is_an_error_and_never_a_pass(text: str) -> None:
    assert said(text) is None
    found = read(ended(text))
    assert found is not None
    assert (found.verdict, found.reason) == ("Error", "NoVerdict")
    assert "LUNTRA_VERDICT" in found.message


def test_verdict_counts_although_the_container_ended_with_an_error() -> None:
    """Kubernetes puts the end of the log there only then, so that `exit 1` after printing Fail is a way to say it."""
    assert read(ended('measuring\n{"verdict": "Fail"}', 1, "Error")) == Verdict("Fail", "Measured")


@pytest.mark.parametrize(("code", "reason", "named"), [(2, "Error", "Crashed"), (137, "OOMKilled", "OOMKilled")])
def test_container_that_died_says_how_and_nothing_of_its_log(code: int, reason: str, named: str) -> None:
    found = read(ended("Traceback: hush", code, reason))
    assert found == Verdict("Error", named, f"the container ended with exit code {code} and left no verdict")


def test_verdict_of_a_container_that_was_killed_does_not_count() -> None:
    found = read(ended('{"verdict": "Pass"}', 137, "OOMKilled"))
    assert found is not None
    assert (found.verdict, found.reason) == ("Error", "OOMKilled")


def test_container_that_runs_or_is_not_ours_says_nothing_yet() -> None:
    assert read({}) is None
    assert read({"status": {"containerStatuses": None}}) is None
    assert read({"status": {"containerStatuses": [{"name": CONTAINER, "state": {"running": {}}}]}}) is None
    assert read(ended('{"verdict": "Pass"}', name="sidecar")) is None


def test_long_message_is_cut() -> None:
    found = said('{"verdict": "Fail", "message": "' + "x" * 5000 + '"}')
    assert found is not None
    assert len(found.message) == 1000
