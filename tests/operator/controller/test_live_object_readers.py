"""What live Kubernetes objects say, in the engine's words: pods, workloads, quota."""

from typing import Any

import pytest

from luntra_operator.api.vocabulary import Reason
from luntra_operator.controller import readers
from luntra_operator.rollout.observed import Problem

Object = dict[str, Any]
WORKLOAD = "digits-w1"


def container(
    name: str = "server", *, ready: bool = False, restarts: int = 0, last: Object | None = None, **state: Object
) -> Object:
    return {
        "name": name,
        "image": "luntra/inference:1",
        "ready": ready,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


def pod(*containers: Object, ready: bool = False, phase: str = "Running", **rest: Any) -> Object:
    conditions = [{"type": "Ready", "status": str(ready)}, *rest.pop("conditions", [])]
    metadata = {
        "name": "digits-w1-abc",
        "uid": "u1",
        "labels": {"luntra.io/workload": WORKLOAD},
        **rest.pop("metadata", {}),
    }
    status = {"phase": phase, "conditions": conditions, "containerStatuses": list(containers), **rest}
    return {"metadata": metadata, "status": status}


RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def test_ready_pod_has_no_problem() -> None:
    found = readers.read_pod(pod(container(ready=True, **RUNNING), ready=True))
    assert (found.name, found.uid, found.ready, found.restarts, found.ended, found.problem) == (
        "digits-w1-abc",
        "u1",
        True,
        0,
        False,
        None,
    )


def test_pod_that_starts_is_neither_ready_nor_in_trouble() -> None:
    found = readers.read_pod(pod(container(waiting={"reason": "ContainerCreating"}), phase="Pending"))
    assert (found.ready, found.ended, found.problem) == (False, False, None)
    bare = readers.read_pod({"metadata": {"name": "x", "uid": "u"}})
    assert (bare.ready, bare.restarts, bare.problem) == (False, 0, None)


def test_leaving_pod_is_not_ready() -> None:
    leaving = pod(container(ready=True, **RUNNING), ready=True, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert not readers.read_pod(leaving).ready


CRASH: dict[str, Any] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (
            container(waiting={"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}),
            Problem(Reason.IMAGE_PULL_FAILED, 'image luntra/inference:1: Back-off pulling image "x"'),
        ),
        (
            container(waiting={"reason": "ErrImagePull"}),
            Problem(Reason.IMAGE_PULL_FAILED, "image luntra/inference:1: ErrImagePull"),
        ),
        (
            container(waiting={"reason": "CreateContainerConfigError", "message": 'configmap "my-ca" not found'}),
            Problem(Reason.CRASH_LOOP, 'container server: configmap "my-ca" not found'),
        ),
        (
            container(**CRASH, last={"exitCode": 3, "message": "DigestMismatch: not what was asked for\n"}),
            Problem(Reason.LOAD_FAILED, "DigestMismatch: not what was asked for", permanent=True),
        ),
        (
            container(terminated={"exitCode": 3}),
            Problem(Reason.LOAD_FAILED, "container server says that its model can never load", permanent=True),
        ),
        (
            container(**CRASH, last={"exitCode": 1, "message": "Unreachable: https://x"}),
            Problem(Reason.CRASH_LOOP, "container server ended with exit code 1: Unreachable: https://x"),
        ),
        (
            container(**CRASH, last={"exitCode": 137, "reason": "OOMKilled"}),
            Problem(Reason.CRASH_LOOP, "container server ended with exit code 137: OOMKilled"),
        ),
        (
            container(terminated={"exitCode": 139}),
            Problem(Reason.CRASH_LOOP, "container server ended with exit code 139: no message"),
        ),
        # It has recovered from its crash.
        (container(ready=True, restarts=1, last={"exitCode": 137, "reason": "OOMKilled"}, **RUNNING), None),
        (container(terminated={"exitCode": 0}), None),
    ],
)
def test_what_a_container_says_becomes_the_pods_problem(status: Object, problem: Problem | None) -> None:
    assert readers.read_pod(pod(status)).problem == problem


def test_gravest_problem_of_all_containers_is_told_and_restarts_add_up() -> None:
    found = readers.read_pod(
        pod(
            container("sidecar", restarts=2, waiting={"reason": "ImagePullBackOff"}),
            container(restarts=3, last={"exitCode": 3, "message": "InvalidBundle"}, **CRASH),
        )
    )
    assert found.problem == Problem(Reason.LOAD_FAILED, "InvalidBundle", permanent=True)
    assert found.restarts == 5


def test_init_containers_count_too() -> None:
    found = readers.read_pod(pod(initContainerStatuses=[container("init", restarts=1, terminated={"exitCode": 2})]))
    assert found.problem
    assert found.problem.reason is Reason.CRASH_LOOP
    assert (found.restarts, found.ended) == (1, True)


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (container(terminated={"exitCode": 1}), True),
        (container(terminated={"exitCode": 0}), False),
        (container(**CRASH, restarts=1, last={"exitCode": 1}), False),  # told by the restart count
        (container(ready=True, **RUNNING), False),
    ],
)
def test_server_has_ended_while_it_is_terminated_with_an_error(status: Object, ended: bool) -> None:
    assert readers.read_pod(pod(status)).ended is ended


def test_unschedulable_pod_names_why() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu",
    }
    found = readers.read_pod(pod(phase="Pending", conditions=[condition]))
    assert found.problem == Problem(Reason.UNSCHEDULABLE, "0/3 nodes are available: 3 Insufficient nvidia.com/gpu")


def test_evicted_pod_has_ended() -> None:
    found = readers.read_pod(pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory"))
    assert found.ended
    assert found.problem == Problem(Reason.CRASH_LOOP, "The node was low on resource: memory")


def named(name: str, **rest: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"replicas": 2}, **rest}


def endpoint_slice(*endpoints: Object, service: str = WORKLOAD) -> Object:
    return {"metadata": {"labels": {"kubernetes.io/service-name": service}}, "endpoints": list(endpoints)}


def test_workload_is_what_exists_of_it() -> None:
    whole, partial, other = readers.workloads(
        [WORKLOAD, "digits-w2", "digits-w3"],
        [named(WORKLOAD), named("digits-w2")],
        [named(WORKLOAD)],
        [named(WORKLOAD), named("digits-w3")],
        [named(WORKLOAD)],
        [
            pod(container(ready=True, **RUNNING), ready=True),
            pod(metadata={"deletionTimestamp": "x"}),
            pod(metadata={"labels": {"luntra.io/workload": "else"}}),
        ],
        [
            endpoint_slice({"conditions": {"ready": True}}, {}, {"conditions": {"ready": False}}),
            endpoint_slice({}, service="else"),
        ],
    ).values()
    assert (whole.replicas, whole.complete, len(whole.pods), whole.endpoints, whole.protected) == (2, True, 1, 2, True)
    assert (partial.replicas, partial.complete, partial.endpoints, partial.protected) == (2, False, 0, False)
    assert (other.replicas, other.complete) == (None, False)


def test_slice_without_endpoints_has_none() -> None:
    assert readers.ready_endpoints([{**endpoint_slice(), "endpoints": None}], WORKLOAD) == 0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('pods "digits-w1-x" is forbidden: exceeded quota: small, requested: pods=1', Reason.QUOTA_EXCEEDED),
        ("admission webhook denied the request", Reason.PODS_NOT_READY),
    ],
)
def test_pods_that_cannot_even_be_created_are_a_problem_of_the_deployment(message: str, reason: Reason) -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": message}
    deployment = named(WORKLOAD, status={"conditions": [{"type": "Available", "status": "True"}, condition]})
    (found,) = readers.workloads([WORKLOAD], [deployment], [], [], [], [], []).values()
    assert found.problem == Problem(reason, message)
