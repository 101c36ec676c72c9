"""`spec.traffic` cannot be read in mid-rollout: whatever divides the traffic, the step is held and the way back stays open."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from luntra_operator.kube import kinds
from luntra_operator.rollout.observed import Judgement
from tests.operator.controller.adopting import ROUTE, Adopting, user_route
from tests.operator.controller.in_memory import KEY, MD, Operator, model

Object = dict[str, Any]
GATEWAY: Object = {"gateway": {"parentRefs": [{"name": "gateway"}], "hostnames": ["digits.example"]}}
PREVIEW: Object = {"gateway": {**GATEWAY["gateway"], "preview": {"header": {"name": "x-preview", "value": "v2"}}}}
ISTIO: Object = {
    "istio": {"gateways": ["infra/public"], "hosts": ["digits.example.com"]},
    "probe": {"url": "http://gw"},
}


class Owned(Operator):
    """Behind objects of ours; `weights` are what they say, by workload."""

    traffic = GATEWAY
    kind = kinds.HTTP_ROUTE
    stable_alone: ClassVar[Object] = {"digits-w1": 100, "digits-w2": 0}

    def __init__(self) -> None:
        super().__init__()
        self.kube.peek(MD, "digits")["spec"] |= {"traffic": self.traffic}

    async def rest(self, seconds: float = 60) -> None:
        """Let time pass, looking again every second."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.play_cluster()
            await self.reconcile(KEY)
            self.now += timedelta(seconds=1)

    def pod(self, name: str, labels: Object, *, restarts: int = 0, ready: bool = True) -> None:
        """A pod that has crashed stays so."""
        if restarts or name not in self.kube.names(kinds.POD):
            super().pod(name, labels, restarts=restarts, ready=ready)

    def roll_out(self, **rollout: Any) -> None:
        """The user wants v2."""
        rollout = {"steps": [{"weight": 20, "hold": "4s"}], "soak": "4s", **rollout}
        self.edit(model=model("v2"), rollout=rollout, serving={"runtime": {"deadline": "500ms"}})

    def weights(self, kind: kinds.Kind = kinds.HTTP_ROUTE) -> dict[str, int]:
        rules = self.kube.peek(kind, "digits")["spec"]["rules"]
        return {ref["name"]: ref["weight"] for ref in rules[-1]["backendRefs"]}

    def edit_weights(self) -> None:
        """Somebody gives the candidate nearly everything."""
        self.kube.peek(self.kind, "digits")["spec"]["rules"][-1]["backendRefs"][-1]["weight"] = 90

    @property
    def at_rest(self) -> bool:
        """Whether what divides the traffic is as it should be where nothing is under way."""
        return self.weights() == {"digits-w1": 100}


class Previewed(Owned):
    """The same, with a preview."""

    traffic = PREVIEW

    def play_cluster(self) -> None:
        super().play_cluster()
        if "digits" in self.kube.names(kinds.HTTP_ROUTE):
            self.gateway.seen = answers(self, self.weights())


class Istio(Owned):
    """Behind a VirtualService, which reports nothing."""

    traffic = ISTIO
    kind = kinds.VIRTUAL_SERVICE

    def weights(self, kind: kinds.Kind = kinds.VIRTUAL_SERVICE) -> dict[str, int]:
        (route,) = self.kube.peek(kind, "digits")["spec"]["http"]
        return {one["destination"]["host"]: one["weight"] for one in route["route"]}

    def edit_weights(self) -> None:
        self.kube.peek(self.kind, "digits")["spec"]["http"][0]["route"][-1]["weight"] = 90

    def play_cluster(self) -> None:
        super().play_cluster()
        if "digits" in self.kube.names(self.kind):
            self.gateway.seen = answers(self, self.weights())


class Lent(Adopting):
    """Behind a route of the user's."""

    stable_alone: ClassVar[Object] = {"digits": 100, "digits-w2": 0}

    async def rest(self, seconds: float = 60, step: float = 1) -> None:
        await super().rest(seconds, step)

    def weights(self, kind: kinds.Kind = kinds.HTTP_ROUTE) -> dict[str, int]:
        return self.shares()

    def edit_weights(self) -> None:
        self.kube.peek(kinds.HTTP_ROUTE, ROUTE)["spec"]["rules"][1]["backendRefs"][-1]["weight"] = 90

    @property
    def at_rest(self) -> bool:
        return self.restored and self.finalizers == []


def answers(operator: Operator, weights: dict[str, int]) -> dict[str, int]:
    """What a gateway that follows these weights answers, by revision."""
    labels = {name: operator.kube.peek(kinds.DEPLOYMENT, name)["metadata"]["labels"] for name in weights}
    return {labels[name]["luntra.io/revision"]: weight for name, weight in weights.items() if weight}


Divided = Owned | Lent
WAYS: list[type[Divided]] = [Owned, Previewed, Istio, Lent]
BROKEN: list[object] = [
    {"gateway": {}},
    {"gateway": {"parentRefs": [{"name": "other"}], "colour": "blue"}},
    {"gateway": {"mode": "Adopted", "routeRef": {"name": "other"}, "hostnames": ["new.example"]}},
    {"gateway": {"mode": "Shared"}, "preview": 7},
    {"istio": {"gateways": ["mesh"], "hosts": ["new.example.com"]}},
    {**GATEWAY, "istio": ISTIO["istio"]},
    {"teleport": {}},
    "none",
]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
async def stable(request: pytest.FixtureRequest) -> Divided:
    """v1 serves."""
    way: Callable[[], Divided] = request.param
    operator = way()
    await operator.rest(12)
    assert operator.status["phase"] == "Stable", operator.status
    return operator


@pytest.fixture
async def shifting(stable: Divided) -> Divided:
    """v2 has 20 %."""
    stable.roll_out(steps=[{"weight": 20, "hold": "1h"}], soak="1h")
    await stable.rest(12)
    assert 20 in stable.weights().values()
    stable.kube.writes.clear()
    return stable


@pytest.mark.parametrize("broken", BROKEN, ids=str)
async def test_step_is_held_and_foreign_weights_are_repaired(shifting: Divided, broken: object) -> None:
    """Breaks if anything of such a section is begun, or what it no longer says is undone."""
    before, asked = shifting.weights(), shifting.gateway.asked
    shifting.edit(traffic=broken)
    shifting.now += timedelta(hours=2)
    await shifting.rest(3)
    assert shifting.ready[0] == "InvalidSpec"
    assert (shifting.status["step"]["weight"], shifting.weights()) == (20, before)
    assert {kind for _, kind, _ in shifting.kube.writes} == {"ModelDeployment"}
    shifting.edit_weights()
    await shifting.rest(2)
    assert shifting.weights() == before
    assert shifting.gateway.asked > asked


def dies(operator: Divided) -> None:
    operator.crash("digits-w2")


def fails(operator: Divided) -> None:
    operator.metrics.said = (Judgement("errorRate", "Fail", "4.1 % of 812"),)


def _name(parameter: object) -> str:
    """The same in every process, for those that run tests in parallel."""
    return getattr(parameter, "__name__", str(parameter))


@pytest.mark.parametrize(("broken", "bad"), [*((broken, dies) for broken in BROKEN), (BROKEN[0], fails)], ids=_name)
async def test_candidate_is_taken_back_by_what_was_accepted(
    shifting: Divided, broken: object, bad: Callable[[Divided], None]
) -> None:
    """Breaks if a slip of the pen in the traffic section blinds the automatic rollback."""
    shifting.edit(traffic=broken)
    await shifting.rest(2)
    bad(shifting)
    await shifting.reconcile(KEY)
    assert shifting.weights() == shifting.stable_alone
    await shifting.rest(30)
    assert shifting.status["phase"] == "RolledBack"
    assert shifting.ready[0] == "InvalidSpec"
    assert shifting.at_rest
    assert shifting.kube.names(kinds.DEPLOYMENT) == ["digits-w1"]


async def test_soak_lasts_and_still_gives_back(stable: Divided) -> None:
    stable.roll_out(soak="1h")
    await stable.rest(40)
    assert stable.status["phase"] == "Soaking"
    before = stable.weights()
    stable.edit(traffic={"gateway": {}})
    stable.now += timedelta(hours=5)
    await stable.rest(10)
    assert (stable.status["phase"], stable.weights()) == ("Soaking", before)
    stable.crash("digits-w2")
    await stable.rest(30)
    assert stable.status["phase"] == "RolledBack"
    assert stable.at_rest


async def not_begun(operator: Divided) -> None:
    """At rest."""


async def preparing(operator: Divided) -> None:
    """v2 is about to be prepared, and has no traffic."""
    operator.roll_out(steps=[{"weight": 20, "hold": "1h"}], approval="BeforeTraffic")
    await operator.rest(10)
    assert operator.status["phase"] == "AwaitingApproval"


@pytest.mark.parametrize("begun", [not_begun, preparing])
async def test_what_serves_is_watched_without_a_candidate_in_the_traffic(
    stable: Divided, begun: Callable[[Divided], Awaitable[None]]
) -> None:
    """Breaks if a route that is not lent leaves nobody to look after the pods."""
    await begun(stable)
    before, service = stable.weights(), stable.kube.peek(kinds.SERVICE, "digits")["spec"]
    stable.edit(traffic={"gateway": {}})
    await stable.rest(10)
    await stable.kube.delete(kinds.CONFIG_MAP, "team-a", "digits-w1")
    if begun is preparing:
        stable.crash("digits-w2")
    await stable.rest(30)
    assert "digits-w1" in stable.kube.names(kinds.CONFIG_MAP)
    assert (stable.weights(), stable.kube.peek(kinds.SERVICE, "digits")["spec"]) == (before, service)
    assert stable.status["phase"] == ("RolledBack" if begun is preparing else "Stable")
    assert stable.ready[0] == "InvalidSpec"


async def test_mended_section_goes_on_with_the_rollout_where_it_was(shifting: Divided) -> None:
    before, attempt = shifting.kube.peek(MD, "digits")["spec"]["traffic"], shifting.status["attempt"]
    shifting.edit(traffic={"gateway": {}})
    await shifting.rest(10)
    shifting.edit(traffic=before)
    shifting.now += timedelta(hours=2)
    await shifting.rest(40)
    assert (shifting.status["phase"], shifting.status["stable"]["version"]) == ("Soaking", "v2")
    assert shifting.status["attempt"] == attempt


async def test_route_that_is_replaced_meanwhile_is_adopted_again() -> None:
    """Breaks if only the loan in the route tells which one it is: an applier wipes it."""
    operator = Lent()
    await operator.rest(12)
    operator.roll_out(steps=[{"weight": 20, "hold": "1h"}])
    await operator.rest(12)
    operator.edit(traffic={"gateway": {}})
    await operator.rest(2)
    operator.reapply()
    await operator.rest(2)
    assert operator.shares() == {"digits": 80, "digits-w2": 20}


async def test_move_between_routes_stands_still_with_the_same_weights_in_both() -> None:
    operator = Lent()
    await operator.rest(12)
    operator.roll_out(steps=[{"weight": 20, "hold": "1h"}])
    await operator.rest(12)
    operator.kube.put(kinds.HTTP_ROUTE, {**user_route(), "metadata": {"name": "second", "namespace": "team-a"}})
    operator.edit(traffic={"gateway": {"mode": "Adopted", "routeRef": {"name": "second"}}})
    await operator.turn()
    operator.edit(traffic={"gateway": {}})
    await operator.rest(30)
    assert operator.shares() == operator.shares("second") == {"digits": 80, "digits-w2": 20}
    operator.crash("digits-w2")
    await operator.turn()
    assert operator.shares() == operator.shares("second") == {"digits": 100, "digits-w2": 0}
    await operator.rest(30)
    assert operator.shares() == operator.shares("second") == {"digits": 1}
    assert operator.finalizers == []
