"""Rollouts of a model that is asked over HTTP and gRPC at once, through Contour and Envoy.

What would break each is in its docstring.
"""

import time

import pytest

from e2e.scenarios.arena import PREVIEW, Arena, followed
from luntra_operator.cli.change import change
from luntra_operator.cli.objects import ClusterObjects
from luntra_operator.kube import kinds

pytestmark = pytest.mark.timeout(300)
V2, V3 = "digits-w2", "digits-w3"
STEPS = [{"weight": 30, "hold": "3s"}]


async def test_r1_r2_both_protocols_shift_together_and_none_asks_a_version_taken_back(arena: Arena) -> None:
    """Breaks if the GRPCRoute is written late or not at all, names a port that nobody listens on, or keeps a refused version;
    or if a preview needs luck to reach the candidate, or outlives it."""
    by_preview = {PREVIEW["name"]: PREVIEW["value"]}
    await arena.apply_both("v1")
    await arena.until_phase("Stable", "v1")
    async with (
        arena.load(rate=15) as http,
        arena.grpc_load() as grpc,
        followed(arena) as over_http,
        followed(arena, kinds.GRPC_ROUTE) as over_grpc,
    ):
        await arena.apply_both("v2", steps=STEPS)
        await arena.until_phase("Stable", "v2")
        assert {"v1", "v2"} == set(grpc.versions())
        assert over_http.shares(V2) == over_grpc.shares(V2) == [0, 30, 100]

        await arena.apply_both("v3", steps=[{"weight": 30, "hold": "10m"}])
        await arena.until_weight(30)

        async def asked() -> bool:
            return grpc.versions()["v3"] > 20

        await arena.until(asked)
        assert await arena.previewed() == {await grpc.version_for(by_preview) for _ in range(10)} == {"v3"}
        await change("abort", arena.namespace, "digits", None, ClusterObjects(arena.kube))
        await arena.until_phase("RolledBack", "v2")
        left = time.time()

        async def went_on() -> bool:
            return len([answer for answer in grpc.answers if answer.at > left]) > 50

        await arena.until(went_on)
        assert await arena.previewed() == {await grpc.version_for(by_preview) for _ in range(10)} == {"v2"}
    assert (http.errors, grpc.errors) == ([], [])
    assert over_http.shares(V3)[:3] == over_grpc.shares(V3)[:3] == [0, 30, 0]
    assert set(grpc.versions(since=left)) == {"v2"}
    assert {answer.version for answer in http.answers if answer.at > left} == {"v2"}
