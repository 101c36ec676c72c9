"""Twenty ModelDeployments that change at once under a budget, against a real API server and real controllers.

The operator is a process of its own, which is killed in the middle. Every change of Deployments, ReplicaSets and pods is
watched and put in the order of its resourceVersion: at no moment may they hold, or be promised, more than there is.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.kind.control_plane import ApiServer
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.kinds import Kind
from luntra_operator.workloads.devices import devices
from tests.integration import actors
from tests.integration.operator_process import operator_process
from tests.integration.test_operator_scenarios import _running, model_deployment

Object = dict[str, Any]
GPU = "nvidia.com/gpu"
TOTAL, EACH, COUNT = 24, 9, 20
KINDS = (kinds.DEPLOYMENT, kinds.REPLICA_SET, kinds.POD)


class Kubelet(actors.Kubelet):
    """Lets pods take a second to end, as real ones do; they have their devices until then."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        super().__init__(kube, namespace)
        self._ending: dict[str, float] = {}

    async def _gone(self, name: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._ending.setdefault(name, now) >= 1:
            await super()._gone(name)


class Watcher:
    """Everything that watches tell of some namespaces, as kubectl prints it."""

    def __init__(self, kubectl: Path, kubeconfig: Path, folder: Path, namespaces: list[str]) -> None:
        self._command = [str(kubectl), "--kubeconfig", str(kubeconfig), "get", "--watch", "--output-watch-events"]
        self._folder, self._namespaces = folder, namespaces

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        processes = []
        for namespace in self._namespaces:
            for kind in KINDS:
                with self._log(namespace, kind).open("wb") as log:
                    words = [kind.plural, "--namespace", namespace, "--output", "json"]
                    processes.append(await asyncio.create_subprocess_exec(*self._command, *words, stdout=log))
        try:
            yield
        finally:
            for process in processes:
                process.terminate()
                await process.wait()

    def _log(self, namespace: str, kind: Kind) -> Path:
        return self._folder / f"{namespace}-{kind.plural}"

    def moments(self) -> list[tuple[str, Kind, Object]]:
        """What happened (ADDED, MODIFIED, DELETED), in the order in which it did."""
        found = []
        for namespace in self._namespaces:
            for kind in KINDS:
                text, decoder = self._log(namespace, kind).read_text(), json.JSONDecoder()
                at = 0
                while text[at:].strip():
                    at += len(text[at:]) - len(text[at:].lstrip())
                    event, at = decoder.raw_decode(text, at)
                    found.append((event["type"], kind, event["object"]))
        return sorted(found, key=lambda moment: int(moment[2]["metadata"]["resourceVersion"]))


def most_used(moments: list[tuple[str, Kind, Object]]) -> dict[str, int]:
    """The most units that were held or promised at any moment, by namespace and in all (``)."""
    live: dict[tuple[str, str, str], tuple[Kind, Object]] = {}
    highest: dict[str, int] = {}
    for what, kind, body in moments:
        meta = body["metadata"]
        key = (kind.plural, meta["namespace"], meta["name"])
        if what == "DELETED":
            live.pop(key, None)
        else:
            live[key] = (kind, body)
        used: dict[str, int] = {}
        for (namespace, _), units in _by_workload(live).items():
            used[namespace] = used.get(namespace, 0) + units
        for namespace, units in {**used, "": sum(used.values())}.items():
            highest[namespace] = max(highest.get(namespace, 0), units)
    return highest


def _by_workload(live: dict[tuple[str, str, str], tuple[Kind, Object]]) -> dict[tuple[str, str], int]:
    """Per workload: what its pods that end have, and what those that stay have or its Deployment or ReplicaSet makes of them."""
    ending: dict[tuple[str, str], int] = {}
    staying: dict[tuple[str, str], dict[Kind, int]] = {}
    for kind, body in live.values():
        workload = (body["metadata"]["namespace"], body["metadata"]["labels"]["luntra.io/workload"])
        if kind == kinds.POD:
            units = devices(body["spec"], GPU)
        else:
            units = body["spec"]["replicas"] * devices(body["spec"]["template"]["spec"], GPU)
        if kind == kinds.POD and "deletionTimestamp" in body["metadata"]:
            ending[workload] = ending.get(workload, 0) + units
        else:
            of_kind = staying.setdefault(workload, {})
            of_kind[kind] = of_kind.get(kind, 0) + units
    return {
        workload: ending.get(workload, 0) + max(staying.get(workload, {}).values(), default=0)
        for workload in ending.keys() | staying.keys()
    }


def shared(namespace: str, name: str, version: str) -> Object:
    """A ModelDeployment with a pod of one unit and no gateway."""
    body = model_deployment(namespace, version, steps=[], soak="1s", deadlines={"ready": "60s"})
    body["metadata"]["name"] = name
    body["spec"]["replicas"] = 1
    del body["spec"]["traffic"]
    body["spec"]["serving"]["resources"] = {"limits": {GPU: 1}}
    return body


def operator(
    kubeconfig: Path, namespaces: list[str], folder: Path
) -> AbstractAsyncContextManager[tuple[asyncio.subprocess.Process, int]]:
    """The real program; killed at the end like everywhere else here."""
    budget = json.dumps({"resource": GPU, "total": TOTAL, "perNamespace": EACH})
    settings = {"LEADER_ELECTION": "false", "ACCELERATORS": budget}
    return operator_process(kubeconfig, namespaces, folder / "operator.log", **settings)


async def until(holds: Callable[[], Awaitable[bool]], tell: Callable[[], Awaitable[object]], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await holds():  # noqa: ASYNC110 - the other side is an API server
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"did not come true within {seconds} s: {await tell()}") from None


@pytest.mark.timeout(600)
async def test_twenty_that_change_at_once_never_exceed_the_budget_and_all_finish(
    controllers: ApiServer, custom_resources: None, kubectl: Path, tmp_path: Path
) -> None:
    """Breaks if a grant is used before it is recorded, freed before its pods are gone, or lost when the operator is killed."""
    namespaces = [f"fleet-{name}-{secrets.token_hex(4)}" for name in "abc"]
    for name in namespaces:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        controllers.request("POST", "/api/v1/namespaces", body)
    objects = [(namespaces[number % 3], f"model-{number}") for number in range(COUNT)]
    async with Kube.connect(kubeconfig=str(controllers.kubeconfig)) as kube:

        async def statuses() -> dict[str, Object]:
            found = [one for name in namespaces for one in await kube.list(kinds.MODEL_DEPLOYMENT, name)]
            return {one["metadata"]["name"]: one.get("status", {}) for one in found}

        async def told() -> list[str]:
            return [
                f"{name}: {one.get('phase')} {[c['message'] for c in one.get('conditions', [])][:1]}"
                for name, one in (await statuses()).items()
            ]

        async def stable(version: str) -> bool:
            found = (await statuses()).values()
            return all(one.get("phase") == "Stable" and one["stable"]["version"] == version for one in found)

        async def some_are_under_way() -> bool:
            done = [one for one in (await statuses()).values() if one["stable"]["version"] == "v2"]
            return len(done) >= COUNT // 3

        async def one_says_what_it_waits_for() -> bool:
            return any(f"{GPU}; " in line and "in line" in line for line in await told())

        watcher = Watcher(kubectl, controllers.kubeconfig, tmp_path, namespaces)
        kubelets = [Kubelet(kube, name).run() for name in namespaces]
        async with _running(*kubelets), watcher.watching():
            async with operator(controllers.kubeconfig, namespaces, tmp_path):
                for namespace, name in objects:
                    await kube.apply(kinds.MODEL_DEPLOYMENT, shared(namespace, name, "v1"))
                await until(lambda: stable("v1"), told, 120)
                for namespace, name in objects:
                    await kube.apply(kinds.MODEL_DEPLOYMENT, shared(namespace, name, "v2"))
                await until(one_says_what_it_waits_for, told, 30)
                await until(some_are_under_way, told, 120)
            async with operator(controllers.kubeconfig, namespaces, tmp_path):
                await until(lambda: stable("v2"), told, 240)

                async def all_given_back() -> bool:
                    return all(len(one.get("grants", [])) == 1 for one in (await statuses()).values())

                await until(all_given_back, told, 30)
        highest = most_used(watcher.moments())
    assert highest.pop("") == TOTAL
    assert all(units <= EACH for units in highest.values()), highest
