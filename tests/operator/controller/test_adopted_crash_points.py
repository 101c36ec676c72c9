"""R7, R20: between any two writes of a loan, and of the flip of the Service <name>, the operator may end; the next one goes on.

Each story is told once undisturbed. Then it is told anew for each of its writes, before which the process ends: what it remembers is
gone, the objects stay. What is in the user's route is looked at after each write.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest

from luntra_operator.api.vocabulary import ANNOTATION_ADOPTED, FINALIZER_ADOPTED
from luntra_operator.controller.execute import Images
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.kube import kinds
from tests.operator.controller.adopting import ROUTE, Adopting, user_route
from tests.operator.controller.in_memory import MD

if TYPE_CHECKING:
    from luntra_operator.kube.client import Kube

Object = dict[str, Any]
SECOND = "second"


class Killed(BaseException):
    """The process has ended."""


class Client:
    """What one process has of the API server: each write is announced, then looked at; once dead it does nothing more."""

    def __init__(self, operator: "Mortal") -> None:
        self._operator, self._dead = operator, False

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._operator.kube, verb)

        async def call(kind: kinds.Kind, *arguments: Any) -> Any:
            if self._dead:
                raise Killed
            if verb in ("get", "list", "versions"):
                return await method(kind, *arguments)
            self._dead = self._operator.ends_before(f"{verb} {kind.kind}")
            if self._dead:
                raise Killed
            answer = await method(kind, *arguments)
            self._operator.wrong += self._operator.looked_at()
            return answer

        return call


class Mortal(Adopting):
    """An operator that ends before the write number `last`, counted from `begins`, and is started again."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[str] = []
        self.wrong: list[str] = []
        self.last: int | None = None
        self._start()

    def _start(self) -> None:
        images = Images(serving="luntra/inference:1", checks="luntra/operator:1")
        kube = cast("Kube", Client(self))
        self.reconcile = Reconciler(kube, self.gateway, images, self.metrics, clock=lambda: self.now)

    def begins(self, last: int | None) -> None:
        """From here writes are counted."""
        self.points.clear()
        self.last = last

    def ends_before(self, write: str) -> bool:
        self.points.append(write)
        return len(self.points) == self.last

    async def turn(self) -> float | None:
        try:
            return await super().turn()
        except Killed:
            self._start()
            return 1.0

    async def until(self, holds: Callable[[], bool], limit: float = 120) -> None:
        """Let time pass until it is so."""
        for _ in range(int(limit)):
            if holds():
                return
            await self.rest(1, step=1)
        raise AssertionError(f"does not come true: {self.status} {self.shares()}")

    def _follow(self, route: Object) -> None:
        """Another route's users are other users."""
        served = list(self.served)
        super()._follow(route)
        if route["metadata"]["name"] != ROUTE:
            self.served = served

    def looked_at(self) -> Iterator[str]:
        """What is wrong with the routes now."""
        for name in self.kube.names(kinds.HTTP_ROUTE):
            yield from self._route(self.kube.peek(kinds.HTTP_ROUTE, name))

    def _route(self, route: Object) -> Iterator[str]:
        meta, original = route["metadata"], user_route()
        docs, model = route["spec"]["rules"]
        if docs != original["spec"]["rules"][0]:
            yield f"another rule of {meta['name']} is {docs}"
        ours = [ref for ref in model["backendRefs"] if ref["name"].startswith("digits-w")]
        users = [ref for ref in model["backendRefs"] if ref not in ours]
        lent = json.loads(meta.get("annotations", {}).get(ANNOTATION_ADOPTED, "{}")).get("digits")
        if not ours and lent is None:
            if users != original["spec"]["rules"][1]["backendRefs"]:
                yield f"given back as {users}"
            return
        unweighted = [{key: value for key, value in ref.items() if key != "weight"} for ref in users]
        if unweighted != [
            {k: v for k, v in ref.items() if k != "weight"} for ref in original["spec"]["rules"][1]["backendRefs"]
        ]:
            yield f"the user's refs are {users}"
        if lent is None or lent["backendRefs"] != original["spec"]["rules"][1]["backendRefs"]:
            yield f"what was lent is remembered as {lent}"
        if FINALIZER_ADOPTED not in self.finalizers:
            yield "it is lent, and its object could be deleted"
        shares = self.shares(meta["name"])
        if sum(shares.values()) != 100:
            yield f"the weights are {shares}"
        for backend in shares:
            if not self.kube.peek(kinds.ENDPOINT_SLICE, backend)["endpoints"]:
                yield f"{backend} is named and has no endpoint"


async def rollout(operator: Mortal) -> None:
    """v2 takes over: the rule is lent, the Service flipped, the rule given back."""
    operator.roll_out()
    await operator.until(lambda: operator.status["stable"]["version"] == "v2")
    await operator.until(lambda: operator.status["phase"] == "Stable" and given_back(operator))


async def rollback(operator: Mortal) -> None:
    """v2 dies in its first step."""
    operator.roll_out(steps=[{"weight": 20, "hold": "1h"}])
    await operator.until(lambda: operator.served[-1] == {"digits-w1": 80, "digits-w2": 20})
    operator.crash("digits-w2")
    await operator.until(lambda: operator.status["phase"] == "RolledBack" and given_back(operator))


async def rollback_in_the_soak(operator: Mortal) -> None:
    """v2 dies after the Service has been flipped to it: it is flipped back."""
    operator.roll_out(soak="1h")
    await operator.until(lambda: operator.status["phase"] == "Soaking" and len(operator.shares()) == 3)
    operator.crash("digits-w2")
    await operator.until(lambda: operator.status["phase"] == "RolledBack" and given_back(operator))


async def move(operator: Mortal) -> None:
    """In mid-rollout the spec names another route."""
    operator.roll_out(steps=[{"weight": 20, "hold": "1h"}])
    await operator.until(lambda: operator.served[-1] == {"digits-w1": 80, "digits-w2": 20})
    operator.kube.put(kinds.HTTP_ROUTE, {**user_route(), "metadata": {"name": SECOND, "namespace": "team-a"}})
    operator.edit(traffic={"gateway": {"mode": "Adopted", "routeRef": {"name": SECOND}}})
    await operator.until(lambda: operator.restored and operator.status["adopted"] == [SECOND])
    assert operator.shares(SECOND) == {"digits": 80, "digits-w2": 20}


async def deletion(operator: Mortal) -> None:
    """The object is deleted in mid-rollout."""
    operator.roll_out(steps=[{"weight": 20, "hold": "1h"}])
    await operator.until(lambda: operator.served[-1] == {"digits-w1": 80, "digits-w2": 20})
    body = operator.kube.peek(MD, "digits")
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    operator.kube.put(MD, body)
    await operator.until(lambda: given_back(operator))


def given_back(operator: Mortal) -> bool:
    return operator.restored and operator.finalizers == []


async def told(story: Callable[[Mortal], Awaitable[None]], last: int | None) -> Mortal:
    """The story with its process ending before that write."""
    operator = Mortal()
    await operator.until(lambda: operator.status.get("phase") == "Stable" and operator.served == [{"digits-w1": 100}])
    operator.begins(last)
    await story(operator)
    await operator.rest(10, step=1)
    return operator


@pytest.mark.parametrize("story", [rollout, rollback, rollback_in_the_soak, move, deletion])
async def test_r7_r20_loan_goes_on_from_between_any_two_writes(story: Callable[[Mortal], Awaitable[None]]) -> None:
    undisturbed = await told(story, None)
    assert undisturbed.wrong == []
    wrong = []
    for number, point in enumerate(undisturbed.points, start=1):
        again = await told(story, number)
        wrong += [f"ended before write {number}, {point}: {one}" for one in again.wrong]
        if again.served != undisturbed.served:
            wrong.append(f"ended before write {number}, {point}: users got {again.served}, not {undisturbed.served}")
    assert wrong == []
