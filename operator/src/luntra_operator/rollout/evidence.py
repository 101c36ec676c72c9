"""What pods tell about a version: why it is not ready, and whether it has died."""

from collections.abc import Iterable

from luntra_operator.api.vocabulary import Reason

from .observed import Pod, Problem, Workload


def restarts(workload: Workload) -> dict[str, int]:
    """Restarts so far, by pod UID; pods that never restarted are left out, so it is nearly always empty."""
    return {pod.uid: pod.restarts for pod in workload.pods if pod.restarts}


def death(workload: Workload, baseline: dict[str, int]) -> str | None:
    """How a version that was ready has died since, or None if it lives.

    A restart beyond `baseline`, a server that ended with an error, or no ready endpoint at all is
    failing evidence. A pod that was merely replaced (a drained node) is not, as long as others serve.
    """
    for pod in workload.pods:
        if pod.ended or pod.restarts > baseline.get(pod.uid, 0):
            cause = f": {pod.problem.message}" if pod.problem else ""
            return f"pod {pod.name} stopped or restarted after it had been ready{cause}"
    if workload.endpoints == 0:
        return f"none of the {len(workload.pods)} pods of {workload.name} is ready any more"
    return None


def obstacle(workload: Workload, replicas: int) -> Problem | None:
    """Why not all replicas are ready, the gravest reason first; None when they are."""
    ready = min(workload.ready_pods, workload.endpoints)
    if ready >= replicas:
        return None  # whatever else there is (an evicted pod stays as Failed for days) is not in the way
    if workload.problem is not None:
        return workload.problem
    missing = Problem(Reason.PODS_NOT_READY, f"{ready} of {replicas} pods of {workload.name} are ready")
    return _gravest(pod for pod in workload.pods if not pod.ready) or missing


def _gravest(pods: Iterable[Pod]) -> Problem | None:
    problems = [pod.problem for pod in pods if pod.problem]
    return max(problems, key=lambda problem: problem.permanent, default=None)
