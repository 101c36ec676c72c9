"""Rollouts through Istio on the real cluster: real pilot, a stock Envoy, a client that counts.

What would break each is in its docstring.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from e2e.demo.records import Answer
from e2e.installation import PROBE_URL, Installation
from e2e.kind import istio
from e2e.kind.progress import Progress
from e2e.scenarios.arena import NAME, Arena, Load, Object, followed
from luntra_operator.cli.change import change
from luntra_operator.cli.objects import ClusterObjects
from luntra_operator.kube import kinds

pytestmark = pytest.mark.timeout(420)
V1, V2 = "digits-w1", "digits-w2"


@pytest.fixture(scope="module", autouse=True)
def mesh(installation: Installation) -> Iterator[None]:
    """Istio in the cluster, for the tests of this file only."""
    with istio.running(installation.cluster, Progress()):
        yield


@pytest.fixture
def meshed(arena: Arena) -> Arena:
    """An arena whose traffic goes through Istio's gateway."""
    arena.host = f"{arena.namespace}.{istio.DOMAIN}"
    arena.traffic = {
        "istio": {"gateways": [istio.GATEWAY], "hosts": [arena.host]},
        "probe": {"url": istio.PROBE_URL},
    }
    return arena


def of_virtual_service(service: Object) -> dict[str, int]:
    return {one["destination"]["host"]: one["weight"] for one in service["spec"]["http"][0]["route"]}


def by_version(answers: Iterable[Answer]) -> Counter[str]:
    return Counter(answer.version for answer in answers)


async def asked_on(arena: Arena, load: Load) -> None:
    """Wait until the client has asked for three seconds more."""
    begin = time.time()

    async def asked() -> bool:
        return load.so_far()[-1].at > begin + 3

    await arena.until(asked)


async def test_r1_istio_divides_the_traffic_as_declared_and_loses_no_request(meshed: Arena) -> None:
    """Breaks if pilot does not understand our VirtualService, or a workload goes while Envoy still sends to it."""
    await meshed.apply("v1")
    await meshed.until_phase("Stable", "v1")
    async with meshed.load() as load, followed(meshed, kinds.VIRTUAL_SERVICE, of_virtual_service) as weights:
        await meshed.apply("v2", steps=[{"weight": 20, "hold": "5s"}, {"weight": 50, "hold": "5s"}])
        await meshed.until_weight(50)
        assert (await meshed.status())["traffic"]["observedBy"] == "Probe"
        await meshed.until_phase("Stable", "v2")
        await meshed.until_gone(V1)
    assert load.errors == []
    assert weights.shares(V2) == [0, 20, 50, 100]
    first = {seen.get(V2): at for at, seen in reversed(list(zip(weights.at, weights.seen, strict=True)))}
    for weight, until in ((20, 50), (50, 100)):
        counted = by_version(answer for answer in load.answers if first[weight] + 1 < answer.at < first[until])
        assert 100 * counted["v2"] / counted.total() == pytest.approx(weight, abs=15), counted
    assert by_version(load.answers[-20:]) == {"v2": 20}


async def test_r2_candidate_taken_back_gets_nothing_afterwards(meshed: Arena) -> None:
    """Breaks if the candidate's destination is left with a weight, or its pods go before Envoy stops sending to them."""
    await meshed.apply("v1")
    await meshed.until_phase("Stable", "v1")
    async with meshed.load() as load, followed(meshed, kinds.VIRTUAL_SERVICE, of_virtual_service) as weights:
        await meshed.apply("v2", steps=[{"weight": 50, "hold": "10m"}])
        await meshed.until_weight(50)

        async def both() -> bool:
            return by_version(load.so_far())["v2"] > 20

        await meshed.until(both)
        await change("abort", meshed.namespace, NAME, None, ClusterObjects(meshed.kube))
        await meshed.until_phase("RolledBack", "v1")
        await meshed.until_gone(V2)
        await asked_on(meshed, load)
    assert load.errors == []
    taken = next(at for at, seen in reversed(list(zip(weights.at, weights.seen, strict=True))) if V2 in seen)
    assert set(by_version(answer for answer in load.answers if answer.at > taken + 1)) == {"v1"}


@pytest.mark.parametrize("moment", ["at rest", "in mid-rollout"])
async def test_r18_moving_from_a_gateway_to_istio_loses_no_request(meshed: Arena, moment: str) -> None:
    """Breaks if one route goes before the other serves, or with its backends: Contour hands a host without a route on to Istio."""
    through_istio = meshed.traffic
    gateway = {"parentRefs": [{"name": "luntra", "namespace": "luntra-gateway"}], "hostnames": [meshed.host]}
    meshed.traffic = {"gateway": gateway, "probe": {"url": PROBE_URL}}
    await meshed.apply("v1")
    await meshed.until_phase("Stable", "v1")
    version, steps = "v1", [{"weight": 30, "hold": "10m"}]
    async with meshed.load() as load:
        if moment == "in mid-rollout":
            version = "v2"
            await meshed.apply("v2", steps=steps)
            await meshed.until_weight(30)
        meshed.traffic = through_istio
        await meshed.apply(version, steps=steps)

        async def moved() -> bool:
            return await meshed.kube.get(kinds.HTTP_ROUTE, meshed.namespace, NAME) is None

        await meshed.until(moved)
        gone = time.time()
        await asked_on(meshed, load)
    assert load.errors == []
    versions = by_version(answer for answer in load.answers if answer.at > gone + 1)
    assert set(versions) == ({"v1"} if moment == "at rest" else {"v1", "v2"})
