"""Units of an extended resource that a pod holds, by the rules of the scheduler."""

from typing import Any

import pytest

from luntra_operator.workloads.devices import devices

GPU = "nvidia.com/gpu"


def container(limit: Any = None, request: Any = None, **fields: Any) -> dict[str, Any]:
    resources = {"limits": {GPU: limit}} if limit is not None else {}
    resources |= {"requests": {GPU: request}} if request is not None else {}
    return {"name": "x", "resources": resources, **fields}


@pytest.mark.parametrize(
    ("pod", "held"),
    [
        ({"containers": [{"name": "x"}]}, 0),
        ({"containers": [{"name": "x", "resources": {"limits": {"cpu": "4"}}}]}, 0),
        ({"containers": [container(1)]}, 1),
        ({"containers": [container("2")]}, 2),
        ({"containers": [container("2000m")]}, 2),
        ({"containers": [container(None, 3)]}, 3),
        ({"containers": [container(1), container(2)]}, 3),
        ({"containers": [container(1)], "initContainers": None}, 1),
        ({"containers": [container(1)], "initContainers": [container(1)]}, 1),
        ({"containers": [container(1)], "initContainers": [container(4), container(2)]}, 4),
        ({"containers": [container(1)], "initContainers": [container(2, restartPolicy="Always")]}, 3),
        (
            {
                "containers": [container(1)],
                "initContainers": [container(2, restartPolicy="Always"), container(3), container(4)],
            },
            6,
        ),
        ({"containers": [container(1)], "initContainers": [container(4), container(2, restartPolicy="Always")]}, 4),
    ],
)
def test_units_are_those_of_the_effective_request(pod: dict[str, Any], held: int) -> None:
    assert devices(pod, GPU) == held
