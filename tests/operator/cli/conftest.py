"""ModelDeployments as the operator leaves them, for the views."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def shifting() -> dict[str, Any]:
    """A rollout from v1 to v2 at its second step of 25 %, 12 s into a hold of 30 s at 10:02:12."""
    return {
        "apiVersion": "luntra.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "digits", "namespace": "shop", "generation": 2},
        "spec": {
            "model": {"version": "v2", "uri": "https://models.example/digits-v2", "digest": "sha256:" + "b" * 64},
            "replicas": 2,
            "rollout": {"steps": [{"weight": 5, "hold": "30s"}, {"weight": 25, "hold": "30s"}, {"weight": 50}]},
        },
        "status": {
            "observedGeneration": 2,
            "phase": "Shifting",
            "phaseStartedAt": "2026-11-20T10:01:00Z",
            "attempt": 3,
            "stable": {"revision": "3f2a9c1d0b", "version": "v1", "workload": "digits-w1", "readyReplicas": 2},
            "candidate": {"revision": "77aa00bb11", "version": "v2", "workload": "digits-w2", "readyReplicas": 1},
            "step": {"index": 1, "weight": 25, "startedAt": "2026-11-20T10:02:00Z"},
            "traffic": {"workload": "digits-w2", "desired": 25, "written": 25, "observed": 24},
            "checks": [
                {
                    "name": "evaluation",
                    "revision": "77aa00bb11",
                    "verdict": "Pass",
                    "reason": "WithinBounds",
                    "message": "accuracy 0.981 of 360 samples is within bounds (stable 0.958)",
                },
                {"name": "benchmark", "revision": "77aa00bb11", "startedAt": "2026-11-20T10:00:40Z"},
            ],
            "rejectedRevision": "dead00beef",
            "rejectedReason": "EvaluationFailed",
            "rejectedMessage": "accuracy 0.412 of 360 samples is below min 0.9 (stable 0.958)",
            "history": [
                {
                    "revision": "dead00beef",
                    "version": "v1b",
                    "outcome": "RolledBack",
                    "reason": "EvaluationFailed",
                    "startedAt": "2026-11-20T09:00:00Z",
                    "finishedAt": "2026-11-20T09:00:41Z",
                },
                {
                    "revision": "3f2a9c1d0b",
                    "version": "v1",
                    "outcome": "Promoted",
                    "reason": "Promoted",
                    "startedAt": "2026-11-18T08:00:00Z",
                    "finishedAt": "2026-11-18T08:02:30Z",
                },
            ],
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "Progressing", "message": "v2 at 25 % of the traffic"},
                {"type": "Reconciling", "status": "True", "reason": "TrafficShifting", "message": "step 2 of 4"},
                {"type": "Available", "status": "True", "reason": "Serving", "message": "2 pods of v1 are ready"},
            ],
        },
    }
