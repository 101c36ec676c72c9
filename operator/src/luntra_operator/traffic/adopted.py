"""HTTPRoute of the user's own (gateway.networking.k8s.io/v1), of which one rule is lent for the time of a rollout.

At rest the rule names the Service <name> and nothing of ours is in it. What is done to the rule is in `loan`; here is which one
it is, and what keeps it from being lent. Routes that the spec does not name any more are given back by a provider of their own.
"""

from collections.abc import Iterator, Mapping

from luntra_operator.api.kinds import HTTP_ROUTE, Kind
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.traffic import ParentReference
from luntra_operator.api.vocabulary import Reason

from . import loan
from .gateway_api import in_force
from .loan import Rule
from .owned import frame_hash
from .provider import Endpoint, Found, FrameChange, Object, Obstacle, Patch, Question, Ref, RouteState, Write


class AdoptedHttpRoute:
    """`spec.traffic.gateway` with mode Adopted: the rule that the spec names."""

    kinds: tuple[Kind, ...] = (HTTP_ROUTE,)
    absence = Obstacle(Reason.GATEWAY_API_MISSING, "install the Gateway API CRDs (gateway-api.sigs.k8s.io)")
    keeps_sessions = False

    def objects(self, name: str, spec: ModelDeploymentSpec) -> tuple[Ref, ...]:  # noqa: ARG002 - the route has a name of its own
        """The user's route."""
        return (Ref(HTTP_ROUTE, spec.adopted.name),) if spec.adopted else ()

    def question(self, spec: ModelDeploymentSpec) -> Question | None:
        """As the live route says."""
        return Question(None, None, Ref(HTTP_ROUTE, spec.adopted.name)) if spec.adopted else None

    def wanted(self, endpoint: Endpoint) -> bool:
        """Whether the spec adopts a route."""
        return endpoint.spec.adopted is not None

    def postponed(self, endpoint: Endpoint) -> Obstacle | None:  # noqa: ARG002 - nothing holds it up
        """Never."""
        return None

    def frame(self, endpoint: Endpoint) -> str:
        """A hash of which rule it is."""
        return frame_hash(endpoint.spec.adopted.model_dump() if endpoint.spec.adopted else {})

    def conflict(self, endpoint: Endpoint, found: Found) -> str | None:  # noqa: ARG002 - see obstacle
        """None: what is wrong with a user's route keeps nothing else from being done."""
        return None

    def obstacle(self, endpoint: Endpoint, found: Found) -> Obstacle | None:
        """Why the rule cannot be lent."""
        rule = _rule(endpoint, found)
        return rule if isinstance(rule, Obstacle) else None

    def read(self, endpoint: Endpoint, found: Found) -> RouteState | None:
        """What the rule says."""
        rule = _rule(endpoint, found, strictly=False)
        if not isinstance(rule, Rule):
            return None
        if rule.lent:
            return _state(rule)
        current, message = in_force(rule.route)
        return RouteState(rule.weights(), None, self.frame(endpoint), False, current, message, untouched=True)

    def write(
        self, endpoint: Endpoint, found: Found, weights: Mapping[str, int], intent: str, change: FrameChange
    ) -> tuple[Write, ...]:
        """Patch the rule; one of the same route that the spec named before goes back first, if that can be done in one write."""
        rule = _rule(endpoint, found)
        if not isinstance(rule, Rule):
            return ()
        named = endpoint.spec.adopted.rule if endpoint.spec.adopted else None
        elsewhere = named is not None and rule.route["spec"]["rules"][rule.index].get("name") != named
        if elsewhere and rule.loan and rule.loan.carries == endpoint.selected:
            return (_patch(rule, rule.restored()),)
        frame = rule.loan.frame if rule.loan and rule.loan.frame and change == "Keep" else self.frame(endpoint)
        return (_patch(rule, rule.patch(weights, intent, frame)),)

    def remove(self, endpoint: Endpoint, found: Found) -> tuple[Write, ...]:
        """Give the rule back, in two writes where backends of ours still get requests."""
        rule = _rule(endpoint, found, strictly=False)
        return (_patch(rule, rule.returned()),) if isinstance(rule, Rule) and rule.lent else ()


class StrayHttpRoutes(AdoptedHttpRoute):
    """Routes of the user's that have our weights in them and that the spec names no more: they keep them until they go back."""

    def objects(self, name: str, spec: ModelDeploymentSpec) -> tuple[Ref, ...]:  # noqa: ARG002 - the status names them
        """None that the spec could name."""
        return ()

    def question(self, spec: ModelDeploymentSpec) -> Question | None:  # noqa: ARG002 - others are asked
        """None."""
        return None

    def wanted(self, endpoint: Endpoint) -> bool:  # noqa: ARG002 - that is what makes them strays
        """Never."""
        return False

    def obstacle(self, endpoint: Endpoint, found: Found) -> Obstacle | None:  # noqa: ARG002 - nobody waits for them
        """None."""
        return None

    def read(self, endpoint: Endpoint, found: Found) -> RouteState | None:
        """The highest weight of each version in any of them; one that is on its way back divides nothing any more."""
        rules = list(_strays(endpoint, found))
        if not rules:
            return None
        weights: dict[str, int] = {}
        for rule in (rule for rule in rules if not rule.homed):
            for name, weight in rule.weights().items():
                weights[name] = max(weight, weights.get(name, 0))
        return RouteState(
            weights, rules[0].loan.intent if rules[0].loan else None, None, False, True, "", borrowed=True
        )

    def write(
        self,
        endpoint: Endpoint,
        found: Found,
        weights: Mapping[str, int],
        intent: str,
        change: FrameChange,  # noqa: ARG002 - they have no frame
    ) -> tuple[Write, ...]:
        """Patch each that is not on its way back."""
        return tuple(
            _patch(rule, rule.patch(weights, intent, "")) for rule in _strays(endpoint, found) if not rule.homed
        )

    def remove(self, endpoint: Endpoint, found: Found) -> tuple[Write, ...]:
        """Give each back."""
        return tuple(_patch(rule, rule.returned()) for rule in _strays(endpoint, found))


def named(spec: object) -> str | None:
    """The HTTPRoute that a raw spec adopts, whether the rest of it can be read or not."""
    found = spec
    for part in ("traffic", "gateway", "routeRef", "name"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else None


def asked_through(route: Object) -> Question:
    """How to ask what answers behind a live route: by its first host, at its first Gateway."""
    hostnames = route["spec"].get("hostnames") or []
    parents = [ref for ref in route["spec"].get("parentRefs") or [] if ref.get("kind", "Gateway") == "Gateway"]
    known = {key: value for key, value in parents[0].items() if key not in ("group", "kind")} if parents else None
    parent = ParentReference.model_validate(known) if known else None
    return Question(hostnames[0].replace("*", "luntra") if hostnames else None, parent)


def returned(name: str, route: Object) -> Patch | None:
    """What takes a ModelDeployment of that name out of a route of the user's; None where nothing of it is in it."""
    rules = [rule for rule in loan.find(name, None, route) if rule.lent]
    return _patch(rules[0], rules[0].restored()) if rules else None


def _patch(rule: Rule, operations: list[Object]) -> Patch:
    return Patch(Ref(HTTP_ROUTE, rule.route["metadata"]["name"]), operations)


def homed(endpoint: Endpoint, found: Found) -> bool:
    """Whether the rules that go back next send nothing to backends of ours: the strays, else the one that the spec names."""
    rule = _rule(endpoint, found, strictly=False)
    mine = [rule] if isinstance(rule, Rule) else []
    return all(one.homed for one in list(_strays(endpoint, found)) or mine)


def returning(endpoint: Endpoint, found: Found) -> frozenset[str]:
    """Workloads that routes which the spec names no more still have at 0, before they are the user's own again."""
    rules = (rule for rule in _strays(endpoint, found) if rule.homed)
    return frozenset(filter(None, (rule.workload(ref) for rule in rules for ref in rule.refs)))


def _state(rule: Rule) -> RouteState:
    current, message = in_force(rule.route)
    known = rule.loan or loan.Loan()
    return RouteState(rule.weights(), known.intent, known.frame, False, current, message, borrowed=True)


def _strays(endpoint: Endpoint, found: Found) -> Iterator[Rule]:
    today = endpoint.spec.adopted.name if endpoint.spec.adopted else None
    for name in endpoint.adopted:
        route = found.get(Ref(HTTP_ROUTE, name))
        if route is not None and name != today:
            yield from (rule for rule in loan.find(endpoint.name, endpoint.selected, route)[:1] if rule.lent)


def _rule(endpoint: Endpoint, found: Found, *, strictly: bool = True) -> Rule | Obstacle | None:
    """The rule that the spec names, or why there is none; `strictly`: or why it cannot be lent."""
    wanted = endpoint.spec.adopted
    if wanted is None or Ref(HTTP_ROUTE, wanted.name) not in found:
        return None
    route = found[Ref(HTTP_ROUTE, wanted.name)]
    if route is None:
        return _unfit(
            f"routeRef.name: there is no HTTPRoute {wanted.name} in this namespace; create it, or name another one"
        )
    rules = loan.find(endpoint.name, endpoint.selected, route, wanted.rule)
    if len(rules) == 1:
        return (_refusal(rules[0]) if strictly else None) or rules[0]
    send = f"a backendRef to the Service {endpoint.name}"
    if rules:
        which = ", ".join(f"rules[{rule.index}]" for rule in rules)
        return _unfit(
            f"HTTPRoute {wanted.name}: {which} each have {send}; give one a name and write it in routeRef.rule"
        )
    if wanted.rule is None:
        return _unfit(f"HTTPRoute {wanted.name}: no rule has {send}; add one to the rule that serves the model")
    names = [rule.get("name") for rule in route["spec"].get("rules") or [] if rule.get("name")]
    if wanted.rule in names:
        return _unfit(
            f"HTTPRoute {wanted.name}: rule {wanted.rule} has no backendRef to the Service {endpoint.name}; add one"
        )
    has = f"its rules are named {', '.join(names)}" if names else "none of its rules has a name"
    return _unfit(f"HTTPRoute {wanted.name}: routeRef.rule {wanted.rule} is not in it; {has}")


def _refusal(rule: Rule) -> Obstacle | None:
    """Why a rule that is not lent yet cannot be."""
    name, service = rule.route["metadata"]["name"], rule.name
    where = f"HTTPRoute {name}: rules[{rule.index}].backendRefs"
    if rule.lent:
        return None
    if sum(loan.is_own(ref, service) for ref in rule.refs) > 1:
        return _unfit(f"{where} names the Service {service} more than once; leave one")
    foreign = rule.foreign()
    if foreign:
        told = f"{where} sends to {', '.join(foreign)} too; set their weight to 0, or give the model a rule of its own"
        return Obstacle(Reason.FOREIGN_BACKEND, told)
    if rule.own is not None and not loan.weight_of(rule.own):
        return _unfit(f"{where}: the weight of the Service {service} is 0; raise it to at least 1")
    return None


def _unfit(message: str) -> Obstacle:
    return Obstacle(Reason.ROUTE_NOT_ADOPTABLE, f"spec.traffic.gateway: {message}")
