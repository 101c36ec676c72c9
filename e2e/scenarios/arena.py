"""A namespace of the real cluster for one scenario: apply versions, wait for what becomes of them, keep asking meanwhile."""

import asyncio
import json
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from e2e.demo.models import Models
from e2e.demo.records import Answer, read_answers
from e2e.demo.traffic import with_brighter
from e2e.installation import PROBE_URL, Installation
from e2e.kind.progress import dies_with_us
from e2e.scenarios.grpc_load import GrpcLoad, asking
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube

Object = dict[str, Any]
NAME = "digits"
PREVIEW = {"name": "x-preview", "value": "next"}
MODEL_KINDS = (
    kinds.DEPLOYMENT,
    kinds.SERVICE,
    kinds.CONFIG_MAP,
    kinds.POD_DISRUPTION_BUDGET,
    kinds.JOB,
    kinds.CONTROLLER_REVISION,
    kinds.POD,
    kinds.HTTP_ROUTE,
    kinds.GRPC_ROUTE,
)


@dataclass
class Load:
    """A client that is asking; `answers` is filled when it has stopped."""

    path: Path
    answers: list[Answer] = field(default_factory=list)

    def so_far(self) -> list[Answer]:
        """What was answered up to now."""
        return read_answers(self.path)

    @property
    def errors(self) -> list[str]:
        """Texts of all client errors."""
        return [answer.error for answer in self.answers if answer.error]

    @property
    def lost(self) -> list[str]:
        """Texts of those that no version owns up to."""
        return [answer.error for answer in self.answers if answer.lost]


class Arena:
    """One namespace with one ModelDeployment in it."""

    def __init__(self, kube: Kube, installation: Installation, models: Models, namespace: str, scratch: Path) -> None:
        """Use `namespace`, which exists and has the artifact store's CA in it."""
        self.kube, self.namespace = kube, namespace
        self._installation, self._models, self._scratch = installation, models, scratch
        self.host = f"{namespace}.example.com"
        self.traffic: Object = {
            "gateway": {"parentRefs": [{"name": "luntra", "namespace": "luntra-gateway"}], "hostnames": [self.host]},
            "probe": {"url": PROBE_URL},
        }

    def body(self, version: str, *, bundle: str | None = None, **rollout: Any) -> Object:
        """A ModelDeployment that serves a digits bundle (default: the one called `version`) under a version's name."""
        folder, digest = self._models.bundle(bundle or version)
        uri = self._installation.store.put(folder, f"scenarios/{folder.name}")
        return {
            "apiVersion": "luntra.io/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": {
                "model": {"version": version, "uri": uri, "digest": digest, "caConfigMapRef": {"name": "artifacts-ca"}},
                "serving": {
                    "runtime": {"deadline": "1s", "terminationDelay": "3s"},
                    "resources": {"limits": {"memory": "512Mi"}},
                },
                "replicas": 2,
                "traffic": self.traffic,
                "rollout": {
                    "steps": [{"weight": 10, "hold": "3s"}, {"weight": 50, "hold": "3s"}],
                    "soak": "2s",
                    "deadlines": {"ready": "60s"},
                    **rollout,
                },
            },
        }

    async def apply(self, version: str, **changes: Any) -> Object:
        """Apply `body()` as a user does, server-side."""
        return await self.apply_body(self.body(version, **changes))

    async def apply_both(self, version: str, **changes: Any) -> Object:
        """Likewise, with a host for gRPC and a preview, and time for answers on a busy machine."""
        body = self.body(version, **changes)
        body["spec"]["traffic"]["gateway"]["grpc"] = {"hostnames": [f"grpc.{self.host}"]}
        body["spec"]["traffic"]["gateway"]["preview"] = {"header": PREVIEW}
        body["spec"]["serving"]["runtime"]["deadline"] = "5s"
        return await self.apply_body(body)

    async def previewed(self, times: int = 10) -> set[str]:
        """Versions that answer requests with the header of the preview."""
        url = f"http://127.0.0.1:{self._installation.cluster.gateway_port}/v2/models/{NAME}"
        headers = {"Host": self.host, PREVIEW["name"]: PREVIEW["value"]}
        seen = set()
        async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
            for _ in range(times):
                async with session.get(url) as answer:
                    seen.add(answer.headers["x-model-version"])
        return seen

    async def apply_body(self, body: Object) -> Object:
        """Apply a whole object."""
        return await self.kube.apply(kinds.MODEL_DEPLOYMENT, body)

    async def status(self) -> Object:
        """The object's status, empty if there is none."""
        found = await self.kube.get(kinds.MODEL_DEPLOYMENT, self.namespace, NAME)
        status: Object = (found or {}).get("status", {})
        return status

    async def condition(self, kind: str) -> Object:
        """A condition by type."""
        found: Object = next(one for one in (await self.status())["conditions"] if one["type"] == kind)
        return found

    async def metric(self, name: str) -> Object:
        """What the status says of a metric, empty before anything is known."""
        found: Object = next((one for one in (await self.status()).get("metrics", []) if one["name"] == name), {})
        return found

    async def until_ready_says(self, reason: str) -> None:
        """Wait until the condition Ready gives a reason."""

        async def said() -> bool:
            return (await self.condition("Ready"))["reason"] == reason

        await self.until(said)

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 90) -> None:
        """Wait for something to come true; if it does not, fail with the status."""
        try:
            async with asyncio.timeout(seconds):
                while not await holds():  # noqa: ASYNC110 - the other side is a cluster
                    await asyncio.sleep(0.1)
        except TimeoutError:
            told = json.dumps(await self.status(), indent=1)
            raise AssertionError(f"did not come true within {seconds} s; status: {told}") from None

    async def until_phase(self, phase: str, stable: str | None = None, seconds: float = 90) -> None:
        """Wait for a phase, with a certain version stable."""

        async def reached() -> bool:
            found = await self.kube.get(kinds.MODEL_DEPLOYMENT, self.namespace, NAME) or {}
            status = found.get("status", {})
            read = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
            return read and status.get("phase") == phase and stable in (None, status.get("stable", {}).get("version"))

        await self.until(reached, seconds)

    async def until_weight(self, weight: int) -> None:
        """Wait until the gateway was seen to follow a weight of the candidate."""

        async def reached() -> bool:
            step = (await self.status()).get("step", {})
            return step.get("weight") == weight and "startedAt" in step

        await self.until(reached)

    async def children(self) -> list[str]:
        """`Kind/name` of everything that belongs to the object and still exists."""
        found = []
        for kind in MODEL_KINDS:
            listed = await self.kube.list(kind, self.namespace, f"luntra.io/model-deployment={NAME}")
            found += [f"{kind.kind}/{one['metadata']['name']}" for one in listed]
        return found

    async def until_gone(self, *workloads: str) -> None:
        """Wait until Deployments, Services and pods of workloads are deleted."""

        async def gone() -> bool:
            return not any(f"/{workload}" in child for child in await self.children() for workload in workloads)

        await self.until(gone)

    async def pods(self, workload: str) -> list[Object]:
        """The pods of a workload."""
        return await self.kube.list(kinds.POD, self.namespace, f"luntra.io/workload={workload}")

    async def counted(self) -> dict[str, float]:
        """Requests by version that Prometheus has counted in this namespace."""
        found = await self.series(f'sum by (version) (luntra_inference_requests_total{{namespace="{self.namespace}"}})')
        return {one["metric"]["version"]: float(one["value"][1]) for one in found}

    async def series(self, query: str) -> list[Object]:
        """What Prometheus answers, of all namespaces."""
        url = f"http://127.0.0.1:{self._installation.cluster.prometheus_port}/api/v1/query"
        async with aiohttp.ClientSession() as session, session.get(url, params={"query": query}) as answer:
            found: list[Object] = (await answer.json())["data"]["result"]
        return found

    @asynccontextmanager
    async def load(self, rate: float = 40.0, limit: float = 300.0, brighter: float = 0.0) -> AsyncIterator[Load]:
        """Keep asking through the gateway for as long as the context lasts, but at most `limit` seconds.

        A share of `brighter` images is among what is asked: those that the version v5 fails on.
        """
        rows = with_brighter(self._models.evaluation, brighter, self._scratch / f"rows-{brighter}.npz")
        out = self._scratch / f"answers-{time.monotonic_ns()}.jsonl"
        url = f"http://127.0.0.1:{self._installation.cluster.gateway_port}"
        command = [sys.executable, "-m", "e2e.demo.client", f"--url={url}", f"--model={NAME}", f"--host={self.host}"]
        command += [f"--rows={rows}", f"--rate={rate}", f"--limit={limit:g}", f"--out={out}"]
        client = await asyncio.create_subprocess_exec(*dies_with_us(command), stdout=asyncio.subprocess.DEVNULL)
        load = Load(out)
        try:
            await self.until(lambda: _begun(load))
            yield load
        finally:
            with suppress(ProcessLookupError):
                client.send_signal(signal.SIGTERM)
            await client.wait()
            load.answers = read_answers(out)

    @asynccontextmanager
    async def watched(self, kind: kinds.Kind, heard: Callable[[Object], object]) -> AsyncIterator[None]:
        """Hear of every state of the namespace's objects of a kind, from now on, in order and as it comes."""
        query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        command = self._installation.cluster.command("get", "--raw", f"{kind.path(self.namespace)}?{query}")
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, limit=2**22)
        begun = asyncio.Event()

        async def listen(lines: asyncio.StreamReader) -> None:
            async for line in lines:
                event = json.loads(line)
                if event["type"] == "BOOKMARK":
                    begun.set()
                elif event["type"] in ("ADDED", "MODIFIED"):
                    heard(event["object"])

        assert process.stdout
        listening = asyncio.create_task(listen(process.stdout))
        try:
            async with asyncio.timeout(15):
                await begun.wait()
            yield
            assert not listening.done(), "the watch has ended before its time, so something may have been missed"
        finally:
            listening.cancel()
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @asynccontextmanager
    async def grpc_load(self) -> AsyncIterator[GrpcLoad]:
        """Likewise over gRPC, in this process."""
        address = f"127.0.0.1:{self._installation.cluster.gateway_port}"
        async with asking(address, f"grpc.{self.host}", NAME, self._models.evaluation) as load:

            async def begun() -> bool:
                return bool(load.answers)

            await self.until(begun)
            yield load


@asynccontextmanager
async def entered(installation: Installation, models: Models, scratch: Path) -> AsyncIterator[Arena]:
    """A fresh namespace; it is deleted afterwards without waiting."""
    namespace, cluster = f"luntra-e2e-{secrets.token_hex(3)}", installation.cluster
    cluster.kubectl("create", "namespace", namespace)
    installation.store.trust(namespace)
    try:
        async with Kube.connect(kubeconfig=str(cluster.kubeconfig)) as kube:
            yield Arena(kube, installation, models, namespace, scratch)
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@asynccontextmanager
async def side_by_side(
    installation: Installation, models: Models, scratch: Path, count: int
) -> AsyncIterator[list[Arena]]:
    """So many of them at once."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(entered(installation, models, scratch / str(number)))
            for number in range(count)
        ]


def alone(body: Object) -> Object:
    """The same with one pod a version, which may take its time: for many objects on few processors."""
    body["spec"]["replicas"] = 1
    body["spec"]["serving"]["runtime"]["deadline"] = "10s"
    return body


async def _begun(load: Load) -> bool:
    return bool(load.so_far())


def _of_http_route(route: Object) -> dict[str, int]:
    return {ref["name"]: ref["weight"] for ref in route["spec"]["rules"][-1].get("backendRefs", [])}


class Weights:
    """Every set of weights that a route has had, by workload, and when (`at`, seconds since the epoch) it was seen."""

    def __init__(self, read: Callable[[Object], dict[str, int]]) -> None:
        """Nothing is seen before `heard`."""
        self._read = read
        self.seen: list[dict[str, int]] = []
        self.at: list[float] = []

    def heard(self, route: Object) -> None:
        """Take in a state of the route; one with the same weights as before is none of its own."""
        weights = self._read(route)
        if not self.seen or self.seen[-1] != weights:
            self.seen.append(weights)
            self.at.append(time.time())

    def shares(self, workload: str) -> list[int]:
        """The weights that a workload has had, in order, without repetition."""
        found = [weights[workload] for weights in self.seen if workload in weights]
        return [weight for index, weight in enumerate(found) if index == 0 or found[index - 1] != weight]

    def spans(self, workload: str) -> list[tuple[int, float]]:
        """The weights that a workload has had, each with the seconds until the route said something else."""
        moments = pairwise(zip(self.at, self.seen, strict=True))
        return [(seen[workload], later - at) for (at, seen), (later, _) in moments if workload in seen]


@asynccontextmanager
async def followed(
    arena: Arena, kind: kinds.Kind = kinds.HTTP_ROUTE, read: Callable[[Object], dict[str, int]] = _of_http_route
) -> AsyncIterator[Weights]:
    """Follow the weights of the route, an object of this kind, for as long as the context lasts; none is missed."""
    weights = Weights(read)
    async with arena.watched(kind, weights.heard):
        yield weights
