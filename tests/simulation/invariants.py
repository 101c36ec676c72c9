"""What must hold at every write, whatever happened before: the promises R1 to R21 as far as a write can break them.

A promise speaks of what the operator could know. Between its reads and its write the world moves on, so a
workload counts as alive if it had a ready endpoint at any time since the turn began that led to the write.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from luntra_operator.api.quantities import seconds
from luntra_operator.api.vocabulary import FINALIZER_ADOPTED, HOST_PARKED, LABEL_REVISION, LABEL_WORKLOAD
from luntra_operator.kube import kinds
from luntra_operator.traffic.owned import is_parked

from .api_server import ApiServer, Object, Write, belongs_to, moment
from .cluster import Cluster
from .gateway import Gateway
from .routes import ROUTES, backends, intent, loan, names, others_share, ours, shares, users_route
from .wire import OPERATOR

MD = kinds.MODEL_DEPLOYMENT
CHILDREN = (kinds.CONFIG_MAP, kinds.SERVICE, kinds.DEPLOYMENT, *ROUTES, kinds.JOB, kinds.CONTROLLER_REVISION)

FORGETTING = 5.0
"""Seconds after somebody else's edit of a route in which a proxy may still do what that edit said."""

UNREAD = 60.0
"""Seconds after which a parked route may go although no gateway has read that it is parked."""


@dataclass
class Memory:
    """What one object has been through; `reached` and `since` are the highest weight decided for a workload, and when.

    `banned` were taken back, `unrecorded` only by the route's intent; `promoted` have been stable. `lost` are routes that a
    gateway may serve on unseen: somebody else has deleted them, or it has not read for `UNREAD` seconds that they are parked.
    """

    banned: set[str] = field(default_factory=set)
    unrecorded: set[str] = field(default_factory=set)
    promoted: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    reached: dict[str, int] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    revision_of: dict[str, str] = field(default_factory=dict)
    paused_since: float | None = None
    approval_edited: float = 0.0
    tampered: bool = False
    route_edited: float = float("-inf")
    parked: float = float("inf")
    status_lost: float = float("-inf")


class Invariants:
    """Looks at each write; `violated` is told what is wrong."""

    def __init__(self, server: ApiServer, cluster: Cluster, gateway: Gateway, violated: Callable[[str], None]) -> None:
        """Judge what `server` tells."""
        self._server, self._cluster, self._gateway, self._violated = server, cluster, gateway, violated
        self._memory: dict[str, Memory] = {}
        self._endpoints: dict[str, tuple[int, float]] = {}

    def heard(self, write: Write) -> None:
        """Judge one write."""
        if write.kind is kinds.ENDPOINT_SLICE:
            self._count(write)
        elif write.kind is MD and write.after:
            self._object(write, write.after)
        elif write.kind in CHILDREN:
            self._child(write)

    def _demand(self, holds: object, otherwise: str) -> None:
        if not holds:
            self._violated(otherwise)

    # Who is alive.

    def _count(self, write: Write) -> None:
        workload = write.name.removesuffix("-slice")
        count = len(write.after["endpoints"]) if write.after else 0
        before = self._endpoints.get(workload, (0, 0.0))[0]
        if bool(count) != bool(before):
            self._endpoints[workload] = (count, write.at)
            if not count:
                self._forgive(belongs_to(workload))

    def alive(self, workload: str, since: float) -> bool:
        """Whether it had a ready endpoint at any time since then."""
        count, changed = self._endpoints.get(workload, (0, float("-inf")))
        return count > 0 or changed >= since

    def _alive_throughout(self, workload: str, since: float) -> bool:
        count, changed = self._endpoints.get(workload, (0, 0.0))
        return count > 0 and changed < since

    def _impostors(self, workload: str) -> bool:
        """Whether a pod that gets the workload's requests serves something else."""
        piece = self._server.find(kinds.ENDPOINT_SLICE, f"{workload}-slice")
        wanted = self._cluster.version_of(workload)
        uids = [endpoint["targetRef"]["uid"] for endpoint in piece["endpoints"]] if piece else []
        return any(self._cluster.serves[uid] != wanted for uid in uids)

    def _forgive(self, name: str) -> None:
        """A rollback that nobody could record is known from the route alone, and holds only while another version lives."""
        found = self._server.find(MD, name)
        if found is not None:
            memory = self._of(found)
            versions = _versions(found.get("status", {}))
            memory.unrecorded = {
                one for one in memory.unrecorded if any(self._endpoints.get(v, (0, 0.0))[0] for v in versions - {one})
            }

    def _of(self, body: Object) -> Memory:
        return self._memory.setdefault(body["metadata"]["uid"], Memory())

    # The object itself.

    def _object(self, write: Write, after: Object) -> None:
        memory = self._of(after)
        if write.verb == "status":
            self._status(write, after, memory)
            return
        if write.before and "status" in write.before and "status" not in after:
            memory.status_lost = write.at
            self._forgotten(after, memory)
        rollout = after["spec"]["rollout"]
        paused = rollout.get("paused", False)
        memory.paused_since = (memory.paused_since or write.at) if paused else None
        if write.before and write.before["spec"]["rollout"]["approval"] != rollout["approval"]:
            memory.approval_edited = write.at

    def _forgotten(self, after: Object, memory: Memory) -> None:
        """With the status goes what it knew of versions taken back; a route that gives them nothing still tells."""
        without: list[set[str]] = [
            {one for one, weight in told.items() if not weight} for told in self._told(after["metadata"]["name"])
        ]
        memory.banned &= set[str].intersection(*without) if without and not memory.tampered else set()

    def _told(self, name: str, *, asked: bool = False) -> list[dict[str, int]]:
        """What each route gives to an object's workloads; `asked`: each but those that are parked."""
        live = [self._server.find(kind, one) for kind in ROUTES for one in names(name)]
        return [self._shares(name, route) for route in live if route and not (asked and is_parked(route))]

    def _shares(self, name: str, route: Object) -> dict[str, int]:
        service = self._server.find(kinds.SERVICE, name)
        return shares(name, backends(route), service["spec"]["selector"].get(LABEL_WORKLOAD) if service else None)

    def _begun_anew(self, memory: Memory) -> None:
        """What has left no trace when the first status is written after a loss may be done again."""
        kinds_left = (*CHILDREN, kinds.POD, kinds.ENDPOINT_SLICE)
        left = {
            body["metadata"]["labels"].get(LABEL_WORKLOAD) for kind in kinds_left for body in self._server.all(kind)
        }
        for known in (memory.revision_of, memory.reached, memory.since):
            for workload in known.keys() - left:
                del known[workload]

    def _status(self, write: Write, after: Object, memory: Memory) -> None:
        before, status = (write.before or {}).get("status", {}), after["status"]
        self._demand(write.caller.name == OPERATOR, "somebody else writes the status")
        if not before:
            self._begun_anew(memory)
        for number in ("attempt", "nextOrdinal"):
            self._demand(status[number] >= before.get(number, 0), f"{number} goes back to {status[number]}")
        self._demand(status["attempt"] <= before.get("attempt", 0) + 1, "an attempt is left out")
        candidate, stable = status.get("candidate"), status.get("stable")
        self._demand(candidate or not status.get("step"), "a step without a candidate")
        withdrawal = status.get("withdrawal")
        if withdrawal and candidate and (stable or withdrawal["rejected"]):
            memory.banned.add(candidate["workload"])
        if stable:
            memory.promoted.add(stable["workload"])
            self._demand(stable["workload"] not in memory.banned, f"{stable['workload']} was taken back and is stable")
        if status["attempt"] > before.get("attempt", 0) and candidate:
            again = candidate["revision"] == before.get("rejectedRevision")
            asked = status["handled"].get("retry") != before.get("handled", {}).get("retry")
            self._demand(not again or asked, f"{candidate['version']} was refused and is tried again unasked")
        self._step(after["spec"], status, memory)

    def _step(self, spec: Object, status: Object, memory: Memory) -> None:
        """The decision: from the weight before to the next declared one, after its hold, with the approval that is wanted.

        The write has a precondition, so the spec is the one that the decision was made from.
        """
        traffic, candidate = status.get("traffic"), status.get("candidate")
        if not (traffic and candidate and status.get("stable")):
            return
        workload, weight = traffic["workload"], traffic["desired"]
        reached = memory.reached.get(workload, 0)
        if weight <= reached or workload in memory.promoted:
            return
        decided = datetime.fromisoformat(traffic["decidedAt"])
        steps = spec["rollout"].get("steps") or []
        allowed = min((step["weight"] for step in steps if step["weight"] > reached), default=100)
        self._demand(
            weight <= allowed, f"{workload} gets {weight} % after {reached} %, but the next step is {allowed} %"
        )
        if reached:
            hold = next((seconds(step["hold"]) for step in steps if step["weight"] == reached), 0.0)
            held = (decided - memory.since[workload]).total_seconds()
            self._demand(held >= hold, f"{reached} % of {workload} was held for {held:.3f} s, not {hold:g} s")
        self._approval(spec, status, memory, first=not reached, last=bool(reached) and weight == 100)
        memory.reached[workload], memory.since[workload] = weight, decided

    def _approval(self, spec: Object, status: Object, memory: Memory, *, first: bool, last: bool) -> None:
        mode, candidate = spec["rollout"]["approval"], status["candidate"]
        edited = memory.approval_edited
        started = datetime.fromisoformat(status["attemptStartedAt"])
        wanted = (mode == "BeforePromotion" and last) or (
            mode == "BeforeTraffic" and first and started > moment(edited)
        )
        given = status["handled"].get("approve", "").split("/")[0]
        names = (candidate["version"], candidate["revision"], candidate["digest"])
        self._demand(not wanted or given in names, f"{candidate['version']} goes on without approval")

    # What belongs to it.

    def _child(self, write: Write) -> None:
        owner = self._server.find(MD, belongs_to(write.name))
        uids = {ref["uid"] for ref in write.body["metadata"].get("ownerReferences", ())}
        users = (
            owner is not None and write.kind is kinds.HTTP_ROUTE and write.name == users_route(belongs_to(write.name))
        )
        if owner is None or "deletionTimestamp" in owner["metadata"] or not (users or owner["metadata"]["uid"] in uids):
            return  # nothing is promised of what goes with its owner
        memory = self._of(owner)
        if write.after and write.kind in ROUTES:
            memory.lost.discard(write.name)
        if write.caller.name == OPERATOR:
            paused = memory.paused_since is not None and memory.paused_since < write.caller.since
            self._demand(not paused, f"{write.name} is written although the object is paused")
            self._written(write, owner, memory)
        elif write.kind in ROUTES and write.verb != "status":
            memory.route_edited, memory.tampered = write.at, True
            if write.after is None:
                memory.unrecorded.clear()
                memory.lost.add(write.name)

    def _written(self, write: Write, owner: Object, memory: Memory) -> None:
        status = owner.get("status", {})
        if write.kind in (kinds.DEPLOYMENT, kinds.SERVICE, kinds.CONFIG_MAP):
            self._traffic_first(write, owner, status, memory)
        if write.kind in ROUTES and write.after and is_parked(write.after):
            self._others_content(write, write.after)
            memory.parked = write.at
        elif write.kind in ROUTES and write.after:
            memory.tampered = False
            if write.name == users_route(owner["metadata"]["name"]):
                self._lent(write, write.after, owner)
            self._route(write, write.after, owner, memory)
        elif write.kind in ROUTES:
            memory.unrecorded.clear()  # with the route goes what only it knew
            self._unasked(write, memory)
        elif write.kind is kinds.DEPLOYMENT:
            self._deployment(write, status, memory)
        elif write.kind is kinds.SERVICE and write.after and write.name == owner["metadata"]["name"]:
            self._flipped(write, owner, memory)
            if "traffic" not in owner["spec"]:
                before = {next(iter(write.before["spec"]["selector"].values())): 100} if write.before else {}
                now = {next(iter(write.after["spec"]["selector"].values())): 100}
                self._served(write, before, now, status, memory)
        elif write.kind is kinds.SERVICE and write.after is None:
            self._unused(write, owner, memory)

    def _traffic_first(self, write: Write, owner: Object, status: Object, memory: Memory) -> None:
        """A version that is taken back gets nothing in any route before anything else is done."""
        withdrawal, candidate, stable = (status.get(key) for key in ("withdrawal", "candidate", "stable"))
        if not (withdrawal and candidate and stable) or memory.route_edited >= write.caller.since:
            return  # a share that somebody gives it now goes in the next turn
        given = [one for one in self._told(owner["metadata"]["name"], asked=True) if one.get(candidate["workload"])]
        unsafe = not self._alive_throughout(stable["workload"], write.caller.since)
        told = f"{write.name} is written while {candidate['workload']}, taken back, still has traffic: {given}"
        self._demand(not given or unsafe, told)

    def _lent(self, write: Write, after: Object, owner: Object) -> None:
        """Of a user's route: what it adds up to, whom the Service's backend leads to, and that its object cannot be forgotten."""
        name, told = owner["metadata"]["name"], backends(after)
        if told.get(name) and write.before and not backends(write.before).get(name):
            leads, service = self._gateway.leads.get(name), self._server.find(kinds.SERVICE, name)
            selected = service["spec"]["selector"].get(LABEL_WORKLOAD) if service else None
            self._demand(
                leads in (None, selected), f"{name} gets traffic again while it leads to {leads}, not {selected}"
            )
        mine = ours(name, after)
        if loan(name, after) is None:
            self._demand(not mine and told.get(name), f"given back, the user's route of {name} says {told}")
            return
        self._demand(
            sum(mine.values()) + told.get(name, 0) == 100, f"weights of the user's route do not add up: {told}"
        )
        held = FINALIZER_ADOPTED in owner["metadata"].get("finalizers", ())
        self._demand(held, f"the user's route is lent to {name}, which could be deleted")

    def _flipped(self, write: Write, owner: Object, memory: Memory) -> None:
        """While the rule is lent and a stable version serves, the Service moves nobody: its backend gets nothing then."""
        name = owner["metadata"]["name"]
        route = self._server.find(kinds.HTTP_ROUTE, users_route(name))
        adopted = "routeRef" in owner["spec"].get("traffic", {}).get("gateway", {})
        edited = max(memory.route_edited, memory.status_lost)
        if not (adopted and route and write.before and loan(name, route)) or write.at - edited < FORGETTING:
            return
        share = backends(route).get(name)
        self._demand(not share, f"the Service {name} moves {share} % of the users of a lent rule")

    def _route(self, write: Write, after: Object, owner: Object, memory: Memory) -> None:
        name, status = owner["metadata"]["name"], owner.get("status", {})
        asked = not self._parked(write.name)  # else it serves nobody whose answers could be lost
        before = self._shares(name, write.before) if write.before and asked else {}
        weights = self._shares(name, after)
        self._demand(sum(weights.values()) == 100, f"weights of {name} do not add up: {weights}")
        self._demand(all(0 <= weight <= 100 for weight in weights.values()), f"weights of {name}: {weights}")
        self._others_content(write, after)
        self._served(write, before, weights, status, memory)
        traffic = status.get("traffic") or {}
        urgent = intent(name, after).endswith("/0")
        if traffic and weights.get(traffic["workload"], 0) != traffic["desired"]:
            returned = write.before is not None and loan(name, write.before) is not None and loan(name, after) is None
            moved = {workload: weight for workload, weight in before.items() if weight}
            if returned and moved in ({}, weights):
                return  # the spec names another route now; the users of this one stay where they were
            if self._goes_home(write, owner, weights):
                return
            leaves = urgent and not weights.get(traffic["workload"], 0)
            self._demand(leaves, f"the route says {weights}, the status {traffic['workload']} {traffic['desired']} %")
            if traffic["workload"] in {*memory.reached, *memory.promoted}:
                memory.unrecorded.add(traffic["workload"])

    def _goes_home(self, write: Write, owner: Object, weights: Mapping[str, int]) -> bool:
        """Whether a user's route gives all to the stable version, while the one that the spec names instead serves its hosts."""
        name, gateway = owner["metadata"]["name"], owner["spec"].get("traffic", {}).get("gateway", {})
        stray = write.name == users_route(name) and "hostnames" in gateway
        serving = self._gateway.in_force.get(name) and self._gateway.hosts_in_force[name]
        home = {owner["status"]["stable"]["workload"]: 100} if owner["status"].get("stable") else None
        given = {workload: weight for workload, weight in weights.items() if weight}
        return bool(stray and serving and set(gateway["hostnames"]) <= serving and given == home)

    def _others_content(self, write: Write, after: Object) -> None:
        if write.before:
            same = others_share(belongs_to(write.name), write.before) == others_share(belongs_to(write.name), after)
            self._demand(same, f"what others wrote into the route of {write.name} is lost")

    def _parked(self, route: str) -> bool:
        """Whether the proxies serve a route for no host any more that anybody asks for."""
        hosts = self._gateway.hosts_in_force.get(route, set())
        return bool(hosts) and all(host.startswith(HOST_PARKED) for host in hosts)

    def _unasked(self, write: Write, memory: Memory) -> None:
        """A gateway may forget a deleted route's backends before the route: by then nobody must be sent to them."""
        asked = {host for host in self._gateway.hosts_in_force.get(write.name, ()) if not host.startswith(HOST_PARKED)}
        unread = write.at - memory.parked >= UNREAD
        self._demand(not asked or unread, f"the route {write.name} is deleted while the gateway sends it {asked}")
        if asked:
            memory.lost.add(write.name)

    def _served(
        self, write: Write, before: Mapping[str, int], after: Mapping[str, int], status: Object, memory: Memory
    ) -> None:
        since, stable = write.caller.since, (status.get("stable") or {}).get("workload")
        for name, weight in after.items():
            raised = weight > before.get(name, -1)
            lonely = weight and stable in (None, name)  # nobody else is there to serve
            self._demand(
                not (raised or not weight) or lonely or self.alive(name, since),
                f"{name} gets {weight} % without a ready endpoint",
            )
            taken = name in memory.banned or name in memory.unrecorded
            self._demand(not (raised and weight and taken), f"{name} was taken back and gets {weight} % again")
            if raised and weight:
                self._demand(
                    not self._impostors(name), f"{name} gets {weight} %, but its endpoints serve another version"
                )
        served = any(weight and self._alive_throughout(name, since) for name, weight in before.items())
        serves = any(weight and self.alive(name, since) for name, weight in after.items())
        self._demand(serves or not served, f"traffic that {dict(before)} served is left to {dict(after)}, which cannot")

    def _deployment(self, write: Write, status: Object, memory: Memory) -> None:
        name = write.name
        if write.after is None:
            self._unused(write, self._server.find(MD, belongs_to(name)) or {}, memory)
            stable = (status.get("stable") or {}).get("workload")
            self._demand(name != stable, f"{name} is stable and is deleted")
        elif write.before is None:
            revision = write.after["metadata"]["labels"][LABEL_REVISION]
            known = memory.revision_of.setdefault(name, revision)
            self._demand(known == revision, f"{name} was {known} and is used again for {revision}")
            spoken = name in _versions(status) or memory.status_lost >= write.caller.since
            self._demand(spoken, f"{name} is created before the status speaks of it")

    def _unused(self, write: Write, owner: Object, memory: Memory) -> None:
        """A workload goes only when no request that it could answer can reach it.

        Not so where somebody else has just edited the route, or deleted it: a gateway that still serves it says so nowhere. And a
        probe sees revisions: it cannot tell from another a workload of the same one, nor one without endpoints from nothing.
        """
        name, told = write.name, self._told(owner["metadata"]["name"])
        if not told or write.at - memory.route_edited < FORGETTING:
            return
        routes = [one for one in names(owner["metadata"]["name"]) if one not in memory.lost and not self._parked(one)]
        share = max((self._gateway.in_force.get(one, {}).get(name, 0) for one in routes), default=0)
        wanted = (owner.get("status", {}).get("traffic") or {}).get("workload", "")
        same = memory.revision_of.get(name) == memory.revision_of.get(wanted)
        answers = self.alive(name, write.caller.since) and not same
        self._demand(not (share and answers), f"{name} is deleted while the gateway sends it {share} %")
        self._demand(not any(name in one for one in told), f"{name} is deleted while a route names it")


def _versions(status: Object) -> set[str]:
    return {status[role]["workload"] for role in ("stable", "candidate", "previous") if status.get(role)}
