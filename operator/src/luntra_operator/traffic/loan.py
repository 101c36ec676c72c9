"""One rule of a user's HTTPRoute, lent for the time of a rollout: read it, give it weights, give it back as it was.

The user's own ref names the Service <name>. It keeps the share of the workload that this Service selected when the rule was lent;
the other workload gets a ref beside it, a copy with another name. Once the Service has been flipped to another workload the
user's ref stays at 0 until the rule is given back: a gateway may learn of new endpoints later than of a new weight.

What is lent is kept in one annotation, by ModelDeployment, for a route may serve several models: each its own rule.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luntra_operator.api.vocabulary import ANNOTATION_ADOPTED

from .provider import Object, workloads_of


@dataclass(frozen=True, slots=True)
class Loan:
    """`carries` is the workload whose share the user's own ref has, None once it has none; `refs` are the user's backendRefs."""

    intent: str | None = None
    frame: str | None = None
    carries: str | None = None
    refs: Sequence[Object] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as found: whose it is (`name`), what the Service of that name selects, where it stands in the route, and the loan."""

    name: str
    selected: str | None
    route: Object
    index: int
    loan: Loan | None

    @property
    def refs(self) -> list[Object]:
        """Its backendRefs now."""
        return self.route["spec"]["rules"][self.index].get("backendRefs") or []

    @property
    def lent(self) -> bool:
        """Whether there is anything of ours in it or about it."""
        return self.loan is not None or any(self.workload(ref) for ref in self.refs)

    @property
    def own(self) -> Object | None:
        """The user's ref to the Service <name>."""
        return next((ref for ref in self.refs if is_own(ref, self.name)), None)

    def workload(self, ref: Object) -> str | None:
        """The workload that a ref of ours names."""
        return ref["name"] if _local(ref) and workloads_of(self.name, [ref["name"]]) else None

    def weights(self) -> dict[str, int]:
        """Percent by workload, 100 among ours whatever the numbers are, but for 0 in all."""
        found: dict[str, int] = {}
        for ref in self.refs:
            own = is_own(ref, self.name)
            workload = self.selected if own else self.workload(ref)
            # At 0 the user's ref stands for a version only as long as it carries that one; otherwise it is merely there.
            if workload and (not own or weight_of(ref) or not self.loan or self.loan.carries == workload):
                found[workload] = found.get(workload, 0) + weight_of(ref)
        total = sum(found.values())
        return {name: round(100 * weight / total) for name, weight in found.items()} if total else found

    def foreign(self) -> list[str]:
        """Backends of others that get requests in this rule."""
        return [
            ref["name"] for ref in self.refs if weight_of(ref) and not self.workload(ref) and not is_own(ref, self.name)
        ]

    def patch(self, weights: Mapping[str, int], intent: str, frame: str) -> list[Object]:
        """JSON Patch (RFC 6902) that gives the rule these weights and remembers what it was."""
        selected, known = self.selected, self.loan
        own = self.own or next((ref for ref in (known.refs if known else ()) if is_own(ref, self.name)), None)
        if own is None:
            return []
        if known is None:
            lent = Loan(
                carries=selected if weight_of(own) else None, refs=[r for r in self.refs if not self.workload(r)]
            )
        else:
            lent = known
        carries = lent.carries if lent.carries == selected and lent.carries in weights else None
        shares = {name: weight for name, weight in weights.items() if name != carries}
        refs = [ref for ref in self.refs if self.workload(ref) is None or ref["name"] in shares]
        if self.own is None:
            refs.insert(0, own)
        refs = [
            {**own, "weight": weights.get(carries or "", 0)}
            if is_own(ref, self.name)
            else {**own, "name": ref["name"], "weight": shares.pop(ref["name"])}
            if self.workload(ref) in shares
            else ref
            for ref in refs
        ]
        refs += [{**own, "name": name, "weight": weight} for name, weight in shares.items()]
        marks = {"intent": intent, "frame": frame, "carries": carries, "backendRefs": list(lent.refs)}
        return self._operations(refs, {**loans(self.route), self.name: marks})

    @property
    def homed(self) -> bool:
        """Whether no backend of ours gets requests any more."""
        return not any(self.workload(ref) and weight_of(ref) for ref in self.refs)

    def returned(self) -> list[Object]:
        """JSON Patch for the next part of giving back: all to the user's backend first, for a proxy may hear of a backend's end
        before it hears of the route that does without it.
        """
        if self.homed or self.own is None:
            return self.restored()
        refs = [
            {**ref, "weight": 100} if is_own(ref, self.name) else {**ref, "weight": 0} if self.workload(ref) else ref
            for ref in self.refs
        ]
        known = loans(self.route).get(self.name)
        marks = {**(known if isinstance(known, dict) else {}), "carries": self.selected}
        return self._operations(refs, {**loans(self.route), self.name: marks})

    def restored(self) -> list[Object]:
        """JSON Patch that takes out what is ours: what the user has changed meanwhile stays changed."""
        original = next((ref for ref in (self.loan.refs if self.loan else ()) if is_own(ref, self.name)), {})
        refs = [
            _weighted(ref, original.get("weight")) if is_own(ref, self.name) else ref
            for ref in self.refs
            if self.workload(ref) is None
        ]
        if self.own is None and original:
            refs.insert(0, original)
        return self._operations(refs, {name: one for name, one in loans(self.route).items() if name != self.name})

    def _operations(self, refs: list[Object], lent: Object) -> list[Object]:
        meta = self.route["metadata"]
        before = meta.get("annotations") or {}
        after = {key: value for key, value in before.items() if key != ANNOTATION_ADOPTED}
        if lent:
            after[ANNOTATION_ADOPTED] = json.dumps(lent, sort_keys=True)
        operations: list[Object] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {"op": "add", "path": f"/spec/rules/{self.index}/backendRefs", "value": refs},
        ]
        if after:
            operations.append({"op": "add", "path": "/metadata/annotations", "value": after})
        elif before:
            operations.append({"op": "remove", "path": "/metadata/annotations"})
        return operations


def find(name: str, selected: str | None, route: Object, named: str | None = None) -> list[Rule]:
    """The rule that has refs of ours in it, else all that send to the Service <name> (and have the name, if one is given)."""
    mark = loans(route).get(name)
    loan = _read(mark) if isinstance(mark, dict) else None
    rules = [Rule(name, selected, route, index, loan) for index, _ in enumerate(route["spec"].get("rules") or [])]
    held = [rule for rule in rules if any(rule.workload(ref) for ref in rule.refs)]
    fitting = [rule for rule in rules if named in (None, rule.route["spec"]["rules"][rule.index].get("name"))]
    return held[:1] or [rule for rule in fitting if rule.own is not None]


def loans(route: Object) -> Object:
    """The annotation's content by ModelDeployment; empty where it says nothing that could be ours."""
    try:
        found = json.loads((route["metadata"].get("annotations") or {}).get(ANNOTATION_ADOPTED, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_own(ref: Object, service: str) -> bool:
    """Whether a ref names the Service <name> in the route's namespace."""
    return _local(ref) and ref["name"] == service


def weight_of(ref: Object) -> int:
    """A ref's weight; 1 where none is written."""
    weight: int = ref.get("weight", 1)
    return weight


def _local(ref: Object) -> bool:
    return ref.get("kind", "Service") == "Service" and not ref.get("group") and not ref.get("namespace")


def _weighted(ref: Object, weight: int | None) -> Object:
    rest = {key: value for key, value in ref.items() if key != "weight"}
    return rest if weight is None else {**rest, "weight": weight}


def _read(mark: Mapping[str, Any]) -> Loan:
    refs = [ref for ref in mark.get("backendRefs") or [] if isinstance(ref, dict) and "name" in ref]
    return Loan(mark.get("intent"), mark.get("frame"), mark.get("carries"), refs)
