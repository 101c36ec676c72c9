"""Routes of the user's own against a real API server: its defaults, its patches, its finalizers, and appliers of both kinds."""

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from e2e.kind.control_plane import Answer, ApiServer
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import FINALIZER_ADOPTED, LABEL_WORKLOAD
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, RefusedError
from tests.integration import actors
from tests.integration.test_operator_scenarios import NAME, Cluster, model_deployment

Object = dict[str, Any]
ROUTE = "shop"
ADOPTED: Object = {"gateway": {"mode": "Adopted", "routeRef": {"name": ROUTE}}}
SHARED: Object = {"gateway": {"mode": "Shared", "parentRefs": [{"name": "gateway"}]}}
"""What this operator cannot read."""
OWNED: Object = {"gateway": {"parentRefs": [{"name": "gateway"}], "hostnames": ["digits.example"]}}


def user_route(namespace: str) -> Object:
    """The user's file."""
    header = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-team", "value": "a"}]}}
    return {
        "apiVersion": kinds.HTTP_ROUTE.api_version,
        "kind": "HTTPRoute",
        "metadata": {"name": ROUTE, "namespace": namespace},
        "spec": {
            "parentRefs": [{"name": "gateway"}],
            "hostnames": ["shop.example"],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/v2/models/digits"}}],
                    "timeouts": {"request": "3s"},
                    "backendRefs": [{"name": NAME, "port": 8080, "filters": [header]}],
                }
            ],
        },
    }


class Gateway(actors.Gateway):
    """Knows where the Service <name> leads, and which route is asked for."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        super().__init__(kube, namespace)
        self._says: dict[str, Object] = {}

    async def _accept(self, route: Object) -> None:
        refs = route["spec"]["rules"][0].get("backendRefs", [])
        self._says[route["metadata"]["name"]] = {ref["name"]: ref["weight"] for ref in refs}
        await super()._accept(route)

    async def answers(self, namespace: str, model: str, spec: ModelDeploymentSpec) -> Counter[str] | None:
        """What a look through this gateway shows, by revision."""
        service = await self._kube.get(kinds.SERVICE, namespace, NAME)
        weights = dict(self._says.get(spec.adopted.name if spec.adopted else NAME, {}))
        if service is not None:
            selected = service["spec"]["selector"][LABEL_WORKLOAD]
            weights[selected] = weights.get(selected, 0) + weights.pop(NAME, 0)
        found: Counter[str] = Counter()
        for deployment in await self._kube.list(kinds.DEPLOYMENT, namespace):
            found[deployment["metadata"]["labels"]["luntra.io/revision"]] += weights.get(
                deployment["metadata"]["name"], 0
            )
        return +found or None


class Shop(Cluster):
    """A namespace with a route of the user's; `original` is what the API server made of the file."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        super().__init__(kube, namespace)
        self.gateway = Gateway(kube, namespace)
        self.original: Object = {}

    async def apply(self, version: str = "v1", traffic: Object | None = ADOPTED, **rollout: Any) -> Object:
        body = model_deployment(self.namespace, version, **rollout)
        body["spec"]["traffic"] = traffic
        if traffic is None:
            del body["spec"]["traffic"], body["spec"]["rollout"]["steps"]
        return await self.kube.apply(kinds.MODEL_DEPLOYMENT, body)

    async def route(self) -> Object:
        """The live route but for what is the API server's own."""
        found = await self.kube.get(kinds.HTTP_ROUTE, self.namespace, ROUTE) or {"metadata": {}}
        found.pop("status", None)
        for key in ("resourceVersion", "generation", "managedFields"):
            found["metadata"].pop(key, None)
        return found

    async def finalizers(self) -> list[str]:
        found = await self.kube.get(kinds.MODEL_DEPLOYMENT, self.namespace, NAME) or {"metadata": {}}
        return list(found["metadata"].get("finalizers", []))

    async def until_given_back(self) -> None:
        async def given_back() -> bool:
            return await self.route() == self.original and await self.finalizers() == []

        await self.until(given_back)

    @asynccontextmanager
    async def applier(self, way: str, period: float = 0.3) -> AsyncIterator[None]:
        """Somebody writes the user's file again and again: by server-side apply with force, or by replacing the object."""
        manager = Kube(self.kube._client, "gitops")

        async def again() -> None:
            while True:
                file = user_route(self.namespace)
                with suppress(ConflictError, RefusedError):
                    if way == "apply":
                        await manager.apply(kinds.HTTP_ROUTE, file)
                    else:
                        live = await manager.get(kinds.HTTP_ROUTE, self.namespace, ROUTE) or {}
                        file["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
                        await manager.replace(kinds.HTTP_ROUTE, file)
                await asyncio.sleep(period)

        task = asyncio.create_task(again())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def shop(
    controllers: ApiServer, custom_resources: None, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    monkeypatch.setenv("KUBECONFIG", str(controllers.kubeconfig))
    async with Kube.connect(kubeconfig=str(controllers.kubeconfig)) as kube:
        fresh = Shop(kube, namespace)
        await Kube(kube._client, "gitops").apply(kinds.HTTP_ROUTE, user_route(namespace))
        fresh.original = await fresh.route()
        async with fresh.actors():
            yield fresh


async def _shifting(shop: Shop) -> None:
    await shop.apply("v1")
    await shop.until_phase("Stable", "v1")
    await shop.apply("v2", steps=[{"weight": 30, "hold": "10m"}])
    await shop.until_weight(30)
    await shop.until_divided({NAME: 70, "digits-w2": 30})


async def test_r1_rollout_behind_a_route_of_the_users(shop: Shop) -> None:
    """Breaks if the API server's defaults keep what is given back from being what was taken."""
    async with shop.operator():
        await shop.apply("v1")
        await shop.until_phase("Stable", "v1")
        assert await shop.route() == shop.original
        await shop.apply("v2")
        await shop.until_phase("Stable", "v2")
        await shop.until_given_back()
        await shop.until_gone("digits-w1")
    shares = [weights.get("digits-w2") for weights in shop.gateway.weights if "digits-w2" in weights]
    assert [share for at, share in enumerate(shares) if at == 0 or shares[at - 1] != share] == [0, 20, 60, 100, 0]
    assert shop.gateway.weights[0] == shop.gateway.weights[-1] == {NAME: 1}


async def test_r4_candidate_that_dies_leaves_the_route_as_it_was(shop: Shop) -> None:
    """Breaks if the filters of the user are lost on the way."""
    async with shop.operator():
        await _shifting(shop)
        refs = (await shop.route())["spec"]["rules"][0]["backendRefs"]
        own = shop.original["spec"]["rules"][0]["backendRefs"][0]
        assert refs == [{**own, "weight": 70}, {**own, "name": "digits-w2", "weight": 30}]
        crash = actors.crashed(139, "segmentation fault")
        shop.kubelet.serving = lambda pod: crash(pod) if "digits-w2" in pod["metadata"]["name"] else actors.running(pod)
        await shop.until_phase("RolledBack", "v1")
        await shop.until_given_back()


async def test_r8_r9_foreign_weight_is_repaired_and_other_content_stays(shop: Shop) -> None:
    """Breaks if events of a route without an owner find no object."""
    async with shop.operator():
        await _shifting(shop)
        edit: list[Object] = [
            {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 90},
            {"op": "add", "path": "/spec/hostnames/-", "value": "new.example"},
            {"op": "add", "path": "/metadata/labels", "value": {"team": "a"}},
        ]
        await shop.kube.patch(kinds.HTTP_ROUTE, shop.namespace, ROUTE, edit)

        async def repaired() -> bool:
            refs = (await shop.route())["spec"]["rules"][0]["backendRefs"]
            return [ref["weight"] for ref in refs] == [70, 30]

        await shop.until(repaired)
        await shop.luntra("abort")
        wanted = copy.deepcopy(shop.original)
        wanted["spec"]["hostnames"].append("new.example")
        wanted["metadata"]["labels"] = {"team": "a"}
        shop.original = wanted
        await shop.until_given_back()


@pytest.mark.parametrize("way", ["apply", "replace"])
async def test_r16_applier_that_never_stops_is_yielded_to(shop: Shop, way: str) -> None:
    """Breaks if repairs are not counted: the users would be moved to and fro for as long as the rollout holds."""

    async def told(reason: str) -> bool:
        conditions = (await shop.status()).get("conditions", [])
        return any(one["type"] == "Ready" and one["reason"] == reason for one in conditions)

    async with shop.operator():
        await _shifting(shop)
        async with shop.applier(way):
            await shop.until(lambda: told("RouteContended"))
            await asyncio.sleep(1)  # the applier goes on; nothing may come of it
            seen = len(shop.gateway.weights)
            await asyncio.sleep(2)
            assert shop.gateway.weights[seen:] == []
            assert (await shop.route())["spec"] == shop.original["spec"]
        assert (await shop.status())["phase"] == "Shifting"
        await shop.luntra("retry")
        await shop.until_weight(30)
        await shop.luntra("abort")
        await shop.until_phase("RolledBack", "v1")
        await shop.until_given_back()


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("phase", ["Stable", "Shifting", "Soaking"])
async def test_r17_deletion_leaves_the_route_as_the_user_wrote_it(shop: Shop, phase: str, down: bool) -> None:
    """Breaks if a finalizer is left at rest, or nobody gives back what a deleted object has borrowed."""

    async def gone() -> bool:
        return not [child for child in await shop.children() if child["metadata"]["name"] != ROUTE] and (
            await shop.kube.get(kinds.MODEL_DEPLOYMENT, shop.namespace, NAME) is None
        )

    async with shop.operator():
        await shop.apply("v1")
        await shop.until_phase("Stable", "v1")
        if phase != "Stable":
            hold = "10m" if phase == "Shifting" else "0s"
            await shop.apply("v2", steps=[{"weight": 30, "hold": hold}], soak="10m")
            await (shop.until_weight(30) if phase == "Shifting" else shop.until_phase(phase))
        if not down:
            await shop.kube.delete(kinds.MODEL_DEPLOYMENT, shop.namespace, NAME)
            await shop.until(gone)
    if down:
        held = await shop.finalizers()
        assert held == ([] if phase == "Stable" else [FINALIZER_ADOPTED])
        await shop.kube.delete(kinds.MODEL_DEPLOYMENT, shop.namespace, NAME)
        if held:
            async with shop.operator():
                await shop.until(gone)
        await shop.until(gone)
    assert await shop.route() == shop.original


STEPS: list[Object] = [{"weight": 30, "hold": "10m"}]
ALONE, DIVIDED = {"digits-w1": 100}, {"digits-w1": 70, "digits-w2": 30}


class Witness:
    """Looks at both routes all the time; `seen` are the different looks: weights by workload in ours and in the user's, if any."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.seen: list[tuple[Object | None, Object | None]] = []

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(0.02)

    async def look(self) -> None:
        look = await self._weights()
        if not self.seen or self.seen[-1] != look:
            self.seen.append(look)

    async def _weights(self) -> tuple[Object | None, Object | None]:
        kube, namespace = self._shop.kube, self._shop.namespace
        service = await kube.get(kinds.SERVICE, namespace, NAME)
        selected = (service or {"spec": {"selector": {}}})["spec"]["selector"].get(LABEL_WORKLOAD)
        looks = []
        for name in (NAME, ROUTE):
            route = await kube.get(kinds.HTTP_ROUTE, namespace, name)
            refs = route["spec"]["rules"][0]["backendRefs"] if route else []
            shares: Counter[str] = Counter()
            for ref in refs:
                shares[selected if ref["name"] == NAME else ref["name"]] += ref["weight"]
            total = shares.total()
            looks.append({name: 100 * weight // total for name, weight in shares.items() if weight} if route else None)
        return looks[0], looks[1]


@asynccontextmanager
async def witnessed(shop: Shop) -> AsyncIterator[Witness]:
    witness = Witness(shop)
    task = asyncio.create_task(witness.run())
    try:
        yield witness
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await witness.look()  # what ended the test may have happened since


@pytest.mark.parametrize("begun", [False, True], ids=["at-rest", "in-mid-rollout"])
async def test_r18_owned_to_adopted_and_back(shop: Shop, begun: bool) -> None:
    """Breaks if our route goes before the user's has its weights, or comes back later than they are taken out of it."""
    version, weights = ("v2", DIVIDED) if begun else ("v1", ALONE)
    rollout: Object = {"steps": STEPS} if begun else {}

    async def ours(there: bool) -> None:
        async def as_wanted() -> bool:
            found = await shop.kube.get(kinds.HTTP_ROUTE, shop.namespace, NAME)
            return (found is not None) == there

        await shop.until(as_wanted)

    async def followed() -> bool:
        traffic = (await shop.status())["traffic"]
        return bool(traffic.get("observed") == traffic["desired"] == weights.get("digits-w2", 100))

    async def named() -> bool:
        return await shop.kube.get(kinds.SERVICE, shop.namespace, NAME) is not None

    async with shop.operator():
        await shop.apply("v1", OWNED)
        await shop.until_phase("Stable", "v1")
        await shop.until(named)  # the Service that the user's route names comes right after the phase
        if begun:
            await shop.apply("v2", OWNED, **rollout)
            await shop.until_weight(30)
            await shop.until(followed)
        async with witnessed(shop) as forth:
            await shop.apply(version, ADOPTED, **rollout)
            await ours(there=False)
            await shop.until(followed)
            if not begun:
                await shop.until_given_back()
        async with witnessed(shop) as back:
            await shop.apply(version, OWNED, **rollout)
            await ours(there=True)
            await shop.until_given_back()
            await shop.until(followed)
        if begun:
            await shop.luntra("abort")
            await shop.until_phase("RolledBack", "v1")
    assert forth.seen == (
        [(weights, ALONE), (weights, weights), (None, weights)] if begun else [(ALONE, ALONE), (None, ALONE)]
    )
    assert back.seen[0] == (None, weights)
    assert back.seen[-1] == (weights, ALONE)
    given_back = next(at for at, (_, users) in enumerate(back.seen) if users == ALONE)
    assert all(ours == weights for ours, _ in back.seen[given_back if begun else 1 :])
    assert await shop.route() == shop.original


@pytest.mark.parametrize("begun", [False, True], ids=["at-rest", "in-mid-rollout"])
async def test_r18_adopted_to_a_plain_service(shop: Shop, begun: bool) -> None:
    """Breaks if the user's route is left with our weights, or sends to a version that the Service has left."""
    async with shop.operator():
        await shop.apply("v1")
        await shop.until_phase("Stable", "v1")
        if begun:
            await shop.apply("v2", steps=STEPS)
            await shop.until_weight(30)
        async with witnessed(shop) as witness:
            await shop.apply("v2" if begun else "v1", None)
            await shop.until_phase("Stable", "v2" if begun else "v1")
            await shop.until_given_back()
        service = await shop.kube.get(kinds.SERVICE, shop.namespace, NAME) or {}
        assert service["spec"]["selector"] == {LABEL_WORKLOAD: "digits-w2" if begun else "digits-w1"}
    assert all(ours is None and users for ours, users in witness.seen)
    looks = [users for _, users in witness.seen]
    assert looks == ([DIVIDED, {"digits-w2": 100}] if begun else [ALONE]), looks


@pytest.fixture
async def newer_crd(controllers: ApiServer, custom_resources: None) -> AsyncIterator[None]:
    """The CRD of a later release, that knows one mode more; afterwards there is this release's again."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/modeldeployments.luntra.io"
    body = {**model_deployment("default"), "spec": {**model_deployment("default")["spec"], "traffic": SHARED}}
    tried = "/apis/luntra.io/v1alpha1/namespaces/default/modeldeployments?dryRun=All"

    async def change(knows: bool) -> None:
        found = controllers.request("GET", path)
        (version,) = found["spec"]["versions"]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        modes = spec["traffic"]["properties"]["gateway"]["properties"]["mode"]
        modes["enum"] = ["Owned", "Adopted"] + ["Shared"] * knows
        controllers.request("PUT", path, found)
        async with asyncio.timeout(30):
            while accepts() != knows:  # noqa: ASYNC110 - no event tells when an API server knows a CRD
                await asyncio.sleep(0.1)

    def accepts() -> bool:
        try:
            controllers.request("POST", tried, body)
        except Answer:
            return False
        return True

    await change(knows=True)
    yield
    await change(knows=False)


async def test_traffic_of_a_newer_operator_holds_and_the_way_back_stays_open(newer_crd: None, shop: Shop) -> None:
    """Breaks if only a section that can be read tells which route is lent: a dying candidate would keep its traffic."""
    async with shop.operator():
        await _shifting(shop)
        lent = await shop.route()
        await shop.apply("v2", SHARED, steps=STEPS)

        async def told() -> bool:
            conditions = {one["type"]: one["reason"] for one in (await shop.status())["conditions"]}
            return conditions["Ready"] == "InvalidSpec"

        await shop.until(told)
        assert await shop.route() == lent
        crash = actors.crashed(139, "segmentation fault")
        shop.kubelet.serving = lambda pod: crash(pod) if "digits-w2" in pod["metadata"]["name"] else actors.running(pod)
        await shop.until_phase("RolledBack", "v1")
        await shop.until_given_back()
        assert await told()
    assert (await shop.status())["rejectedReason"] == "CandidateDied"


async def test_missing_route_is_told_and_picked_up_when_it_appears(shop: Shop) -> None:
    await shop.kube.delete(kinds.HTTP_ROUTE, shop.namespace, ROUTE)
    async with shop.operator():
        await shop.apply("v1")

        async def told() -> bool:
            conditions = {one["type"]: one["reason"] for one in (await shop.status()).get("conditions", [])}
            return conditions.get("Ready") == "RouteNotAdoptable"

        await shop.until(told)
        await shop.kube.create(kinds.HTTP_ROUTE, user_route(shop.namespace))
        await shop.until_phase("Stable", "v1")
