"""Models that are bad in ways that take longer to show: one that slows under load, and one that is wrong more often."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from e2e.demo.models import Models
from e2e.demo.protocol import Request, interface_of, prediction, requests
from e2e.installation import Installation
from e2e.scenarios.arena import NAME, Arena, Object, followed
from e2e.scenarios.judged import judged
from luntra_operator.checks.dataset import load
from luntra_operator.kube import kinds

pytestmark = pytest.mark.timeout(900)
V2 = "digits-w2"
RATE = 60.0
SECRET = kinds.Kind("", "v1", "secrets", "Secret")
TOKEN = "a-token-of-the-test"  # noqa: S105 - it guards nothing but this namespace


async def test_model_that_slows_under_load_is_taken_back_at_the_step_that_shows_it(arena: Arena) -> None:
    """Breaks if latency is not counted by version, or waiting for the processor is not part of it.

    Both versions have a fifth of a core; v4 takes 7 ms of it for an image, which is enough for a tenth of the traffic and not for half.
    """
    slow = {"name": "slow", "latency": {"objective": "200ms"}, "maxIncrease": 0.1}
    await arena.apply_body(_narrow(arena, "v2"))
    await arena.until_phase("Stable", "v2", seconds=180)
    async with arena.load(rate=RATE) as client, followed(arena) as weights:
        steps = [{"weight": 10, "hold": "5s"}, {"weight": 50, "hold": "10m"}]
        await arena.apply_body(_narrow(arena, "v4", steps=steps, analysis=judged(slow)))
        await arena.until_phase("RolledBack", "v2", seconds=240)
    status = await arena.status()
    assert status["rejectedReason"] == "MetricFailed"
    assert status["rejectedMessage"].startswith("slow: slower than 200ms ")
    assert weights.shares(V2) == [0, 10, 50, 0]
    assert {answer.version for answer in client.answers if answer.error} <= {"v4", ""}


def _narrow(arena: Arena, version: str, **rollout: Any) -> Object:
    body = arena.body(version, **rollout, deadlines={"ready": "3m"})
    body["spec"]["replicas"] = 1
    body["spec"]["serving"]["runtime"]["deadline"] = "5s"
    body["spec"]["serving"]["resources"] = {"limits": {"memory": "512Mi", "cpu": "200m"}}
    return body


async def test_model_that_is_wrong_more_often_is_taken_back_by_feedback(
    arena: Arena, installation: Installation, models: Models
) -> None:
    """Breaks if an answer's id does not name its revision, or feedback is counted for whoever is told of it."""
    accuracy = {"name": "accuracy", "accuracy": {}, "maxDecrease": 0.02}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "judges", "namespace": arena.namespace}}
    await arena.kube.apply(SECRET, secret | {"stringData": {"token": TOKEN}})
    await arena.apply_body(_with_feedback(arena, "v2"))
    await arena.until_phase("Stable", "v2")
    async with _told(arena, installation, models), followed(arena) as weights:
        steps = [{"weight": 50, "hold": "10m"}]
        await arena.apply_body(_with_feedback(arena, "v1", steps=steps, analysis=judged(accuracy)))
        await arena.until_phase("RolledBack", "v2", seconds=240)
    status = await arena.status()
    assert status["rejectedReason"] == "MetricFailed"
    assert status["rejectedMessage"].startswith("accuracy: wrong predictions ")
    assert weights.shares(V2) == [0, 50, 0]


def _with_feedback(arena: Arena, version: str, **rollout: Any) -> Object:
    body = arena.body(version, **rollout)
    body["spec"]["serving"]["feedback"] = {"tokenSecretRef": {"name": "judges", "key": "token"}}
    return body


@asynccontextmanager
async def _told(arena: Arena, installation: Installation, models: Models) -> AsyncIterator[None]:
    """A client that asks, and tells some pod of the answers what was right, for as long as the context lasts."""
    cluster = installation.cluster
    url = f"http://127.0.0.1:{cluster.gateway_port}/v2/models/{NAME}"

    async def ask(session: aiohttp.ClientSession, request: Request) -> Object:
        async with session.post(f"{url}/infer", data=request.body, headers=request.headers) as answer:
            seen = prediction(await answer.read())
            return {"id": answer.headers["x-luntra-request-id"], "prediction": seen, "truth": request.label}

    async def keep_telling() -> None:
        async with aiohttp.ClientSession(headers={"Host": arena.host}, raise_for_status=True) as session:
            async with session.get(url) as answer:
                interface = interface_of(await answer.json())
            rows = itertools.cycle(requests(load(models.evaluation.read_bytes()), interface))
            while True:
                told = await asyncio.gather(*(ask(session, next(rows)) for _ in range(round(RATE))))
                await asyncio.to_thread(_tell, told)

    def _tell(entries: list[Object]) -> None:
        pods = f"--selector=luntra.io/model-deployment={NAME},luntra.io/role=serving"
        address = "-o=jsonpath={.items[0].status.podIP}"
        pod = cluster.kubectl("get", "pods", pods, f"--namespace={arena.namespace}", address)
        where = f"http://{pod}:8090/v2/models/{NAME}/feedback"
        header = f"Authorization: Bearer {TOKEN}"
        cluster.in_node("curl", "--fail", "--silent", "--show-error", "-H", header, "-d", json.dumps(entries), where)

    telling = asyncio.create_task(keep_telling())
    try:
        yield
        assert not telling.done(), telling.exception()
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
