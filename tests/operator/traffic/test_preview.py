"""The preview's rule in our HTTPRoute: what is written, and that nobody else's rule or filter is touched."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from luntra_operator.api.kinds import HTTP_ROUTE
from luntra_operator.traffic import routes
from luntra_operator.traffic.provider import Create, Endpoint, FrameChange, Patch, Ref, RouteState
from tests.operator.traffic.endpoints import HTTP, endpoint

Object = dict[str, Any]
W1, W2 = "digits-w1", "digits-w2"
REF = Ref(HTTP_ROUTE, "digits")
CHANGES: tuple[FrameChange, ...] = ("Widen", "Replace")
PATH = {"path": {"type": "PathPrefix", "value": "/v2/models/digits"}}
GUARD = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-luntra-preview"]}}
MARK = {
    "type": "RequestHeaderModifier",
    "requestHeaderModifier": {"set": [{"name": "x-luntra-preview", "value": "true"}]},
}


def wanting(name: str = "x-preview", value: str = "new", **gateway: Any) -> Object:
    header = {"header": {"name": name, "value": value}}
    return {"gateway": {**HTTP["gateway"], "preview": header, **gateway}}


def header(name: str = "x-preview", value: str = "new") -> Object:
    return {"type": "Exact", "name": name, "value": value}


def backend(name: str, weight: int) -> Object:
    return {"group": "", "kind": "Service", "name": name, "port": 8080, "weight": weight}


class Route:
    """The HTTPRoute as our writes leave it."""

    def __init__(self, traffic: Object) -> None:
        self.endpoint: Endpoint = endpoint(traffic)
        self.body: Object | None = None

    def write(self, weights: dict[str, int], preview: str | None = None, change: FrameChange = "Keep") -> None:
        to = replace(self.endpoint, preview=preview)
        (write,) = routes.write(to, {REF: self.body}, weights, "1/abc/100", change)
        if isinstance(write, Create):
            self.body = copy.deepcopy(write.body)
            self.body["metadata"] |= {"resourceVersion": "1", "generation": 1}
            return
        assert isinstance(write, Patch)
        for operation in write.operations:
            *parents, last = operation["path"].split("/")[1:]
            target: Any = self.body
            for part in parents:
                target = target[int(part)] if isinstance(target, list) else target[part]
            target[last] = copy.deepcopy(operation["value"])

    @property
    def rules(self) -> list[Object]:
        assert self.body
        rules: list[Object] = self.body["spec"]["rules"]
        return rules

    @property
    def state(self) -> RouteState:
        state = routes.read(self.endpoint, {REF: self.body}).state
        assert state
        return state


@pytest.fixture
def route() -> Route:
    made = Route(wanting())
    made.write({W1: 100})
    return made


def test_candidate_is_reached_by_the_header_alone_before_it_has_any_traffic(route: Route) -> None:
    route.write({W1: 100}, W2)
    assert route.rules == [
        {"filters": [MARK], "matches": [{**PATH, "headers": [header()]}], "backendRefs": [backend(W2, 1)]},
        {"matches": [PATH], "backendRefs": [backend(W1, 100)], "filters": [GUARD]},
    ]
    assert (route.state.weights, route.state.preview) == ({W1: 100}, W2)


def test_preview_goes_by_the_write_that_takes_the_traffic(route: Route) -> None:
    """Breaks if a version that was taken back can still be reached."""
    route.write({W1: 70, W2: 30}, W2)
    route.write({W1: 100, W2: 0})
    assert route.rules == [{"matches": [PATH], "backendRefs": [backend(W1, 100), backend(W2, 0)], "filters": [GUARD]}]
    assert route.state.preview is None


def test_route_without_a_preview_is_what_it_always_was() -> None:
    plain = Route(HTTP)
    plain.write({W1: 100}, W2)
    plain.write({W1: 70, W2: 30}, W2)
    assert plain.rules == [{"matches": [PATH], "backendRefs": [backend(W1, 70), backend(W2, 30)]}]


def test_weights_go_on_beside_the_preview(route: Route) -> None:
    for share in (10, 50, 100):
        route.write({W1: 100 - share, W2: share}, W2)
        assert (route.state.weights, route.state.preview) == ({W1: 100 - share, W2: share}, W2)
        assert len(route.rules) == 2


@pytest.mark.parametrize("preview", [None, W2])
def test_r18_preview_is_declared_changed_and_withdrawn(preview: str | None) -> None:
    """Breaks if the edit is not seen as one, or leaves a filter behind."""
    route = Route(HTTP)
    route.write({W1: 100})
    before, hashes = copy.deepcopy(route.rules), {routes.read(route.endpoint, {REF: None}).frame}
    for value in ("new", "newer"):
        route.endpoint = endpoint(wanting(value=value))
        hashes.add(routes.read(route.endpoint, {REF: None}).frame)
        for change in CHANGES:
            route.write({W1: 100}, preview, change)
            assert [rule["filters"] for rule in route.rules] == ([[MARK], [GUARD]] if preview else [[GUARD]])
        if preview:
            assert route.rules[0]["matches"] == [{**PATH, "headers": [header(value=value)]}]
    assert len(hashes) == 3
    route.endpoint = endpoint(HTTP)
    for change in CHANGES:
        route.write({W1: 100}, None, change)
        assert route.rules == before


def test_matches_that_are_both_served_are_both_previewed(route: Route) -> None:
    route.endpoint = endpoint(wanting(matches=[{"path": {"type": "Exact", "value": "/x"}}]))
    route.write({W1: 100}, W2, "Widen")
    assert [match["path"]["value"] for match in route.rules[0]["matches"]] == ["/x", "/v2/models/digits"]


def test_header_that_a_match_has_already_is_wanted_with_the_previews_value() -> None:
    """Breaks if a header is named twice, which the API refuses."""
    tenant = {"headers": [header("X-Tenant", "a"), header("x-other", "b")]}
    route = Route(wanting("x-tenant", "beta", matches=[tenant]))
    route.write({W1: 100}, W2)
    assert route.rules[0]["matches"] == [{"headers": [header("x-other", "b"), header("x-tenant", "beta")]}]


def test_r9_rules_and_filters_of_others_stay(route: Route) -> None:
    """Breaks if somebody's rule with the same match is taken for ours, or a filter of theirs is written anew."""
    theirs = {"matches": [{**PATH, "headers": [header()]}], "backendRefs": [{"name": "mine", "port": 80}]}
    first = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "x", "value": "y"}]}}
    route.rules.insert(0, theirs)
    route.rules[1]["timeouts"] = {"request": "3s"}
    route.rules[1]["filters"] = [{"type": "ExtensionRef"}, first]
    known = copy.deepcopy(route.rules)
    route.endpoint = endpoint(wanting(value="newer"))
    route.write({W1: 90, W2: 10}, W2, "Widen")
    assert route.rules[0] == theirs
    both = {**first["requestHeaderModifier"], "remove": ["x-luntra-preview"]}  # type: ignore[dict-item]
    assert route.rules[2]["filters"] == [{"type": "ExtensionRef"}, {**first, "requestHeaderModifier": both}]
    route.rules[1]["timeouts"] = {"request": "9s"}
    route.write({W1: 50, W2: 50}, W2)
    assert route.rules[1]["timeouts"] == {"request": "9s"}
    route.endpoint = endpoint(HTTP)
    route.write({W1: 100}, None, "Replace")
    assert route.rules == known


def test_preview_that_somebody_has_emptied_is_seen(route: Route) -> None:
    route.write({W1: 100}, W2)
    route.rules[0]["backendRefs"] = []
    assert route.state.preview == ""
    route.write({W1: 100}, W2)
    assert route.state.preview == W2


def test_rule_that_somebody_removed_comes_back_guarded(route: Route) -> None:
    """Breaks if requests could be hidden from the analysis from then on."""
    route.write({W1: 100}, W2)
    del route.rules[1]
    route.write({W1: 100}, W2)
    assert [rule.get("filters") for rule in route.rules] == [[MARK], [GUARD]]
    assert route.state.weights == {W1: 100}


def test_preview_goes_when_the_spec_has_left_the_gateway(route: Route) -> None:
    route.write({W1: 100}, W2)
    route.endpoint = endpoint(None)
    route.write({W1: 100})
    assert route.state.preview is None
