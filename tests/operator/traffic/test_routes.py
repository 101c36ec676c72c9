"""All objects that split the traffic are one route: its weights, its intent, its frame, and how it changes."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from luntra_operator.api.kinds import GRPC_ROUTE, HTTP_ROUTE, Kind
from luntra_operator.traffic import routes
from luntra_operator.traffic.provider import Create, Delete, Endpoint, Found, FrameChange, Patch, Ref, RouteState, Write
from tests.operator.traffic.endpoints import GRPC, HTTP, endpoint

Object = dict[str, Any]
W1, W2 = "digits-w1", "digits-w2"
BOTH = endpoint(GRPC)
REFS = {HTTP_ROUTE: Ref(HTTP_ROUTE, "digits"), GRPC_ROUTE: Ref(GRPC_ROUTE, "digits.grpc")}


class Store:
    """The objects as they are after our writes; `kinds` are those that the cluster knows."""

    def __init__(self, *kinds: Kind) -> None:
        self.objects: dict[Ref, Object | None] = {REFS[kind]: None for kind in kinds}

    @property
    def found(self) -> Found:
        return self.objects

    def write(self, of: Endpoint, weights: dict[str, int], intent: str, change: FrameChange = "Keep") -> list[str]:
        """What is done, in order: verb and kind."""
        return [self.carry_out(write) for write in routes.write(of, self.found, weights, intent, change)]

    def carry_out(self, write: Write) -> str:
        match write:
            case Create():
                body = copy.deepcopy(write.body)
                body["metadata"] |= {"resourceVersion": "1", "generation": 1}
                self.objects[Ref(write.kind, body["metadata"]["name"])] = body
                return f"create {write.kind.kind}"
            case Patch():
                self._patch(write)
                return f"patch {write.ref.kind.kind}"
            case Delete():
                self.objects[write.ref] = None
                return f"delete {write.ref.kind.kind}"

    def _patch(self, write: Patch) -> None:
        for operation in write.operations:
            *parents, last = operation["path"].split("/")[1:]
            target: Any = self.objects[write.ref]
            for part in parents:
                target = target[int(part)] if isinstance(target, list) else target[part]
            target[last] = operation["value"]

    def accept(self, *kinds: Kind, status: str = "True") -> None:
        """The gateway's controller accepts the routes of these kinds as they are, or says so."""
        conditions = [
            {"type": kind, "status": status, "reason": "Said", "observedGeneration": 1}
            for kind in ("Accepted", "ResolvedRefs")
        ]
        for ref, body in self.objects.items():
            if body and ref.kind in kinds:
                body["status"] = {"parents": [{"parentRef": {"name": "gateway"}, "conditions": conditions}]}

    def state(self, of: Endpoint) -> RouteState:
        state = routes.read(of, self.found).state
        assert state
        return state


@pytest.fixture
def store() -> Store:
    return Store(HTTP_ROUTE, GRPC_ROUTE)


def test_every_write_concerns_all_objects(store: Store) -> None:
    assert store.write(BOTH, {W1: 100}, "1/abc/100") == ["create HTTPRoute", "create GRPCRoute"]
    assert store.write(BOTH, {W1: 70, W2: 30}, "2/def/30") == ["patch HTTPRoute", "patch GRPCRoute"]
    reading = routes.read(BOTH, store.found)
    assert reading.state
    assert (reading.state.weights, reading.state.intent, reading.agreed) == ({W1: 70, W2: 30}, "2/def/30", True)
    assert (reading.state.frame, reading.missing, reading.conflict) == (reading.frame, None, None)


def test_route_is_in_force_when_every_object_is_accepted(store: Store) -> None:
    store.write(BOTH, {W1: 100}, "1/abc/100")
    store.accept(HTTP_ROUTE)
    assert not store.state(BOTH).current
    assert store.state(BOTH).message.startswith("GRPCRoute: no gateway controller has answered")
    store.accept(GRPC_ROUTE)
    assert (store.state(BOTH).current, store.state(BOTH).message) == (True, "")


@pytest.mark.parametrize("behind", [HTTP_ROUTE, GRPC_ROUTE])
def test_version_has_lost_its_traffic_when_no_object_gives_it_any(store: Store, behind: Kind) -> None:
    """Breaks if one object speaks for all."""
    store.write(BOTH, {W1: 70, W2: 30}, "2/def/30")
    before = copy.deepcopy(store.objects[REFS[behind]])
    store.write(BOTH, {W1: 100}, "2/def/0")
    store.objects[REFS[behind]] = before
    store.accept(HTTP_ROUTE, GRPC_ROUTE)
    reading = routes.read(BOTH, store.found)
    assert reading.state
    assert (reading.state.weights, reading.agreed, reading.state.current) == ({W1: 100, W2: 30}, False, False)
    assert reading.state.intent == "2/def/0"  # that it was taken back is not overlooked


def test_foreign_intent_is_no_obstacle(store: Store) -> None:
    store.write(BOTH, {W1: 100}, "3/abc/100")
    route = store.objects[Ref(HTTP_ROUTE, "digits")]
    assert route
    route["metadata"]["annotations"]["luntra.io/intent"] = "anything"
    assert store.state(BOTH).intent == "3/abc/100"


def test_r18_grpc_is_added_beside_http_and_goes_when_it_is_not_wanted_any_more(store: Store) -> None:
    """Breaks if a route goes before the other frame is followed, or keeps old weights until then."""
    only = endpoint(HTTP)
    store.write(only, {W1: 100}, "1/abc/100")
    assert store.state(BOTH).frame != routes.read(BOTH, store.found).frame
    assert store.write(BOTH, {W1: 100}, "1/abc/100", "Widen") == ["patch HTTPRoute", "create GRPCRoute"]
    assert store.state(BOTH).frame == routes.read(BOTH, store.found).frame
    assert not store.state(BOTH).widened
    assert store.state(only).frame == routes.read(only, store.found).frame
    assert store.state(only).widened
    assert store.write(only, {W1: 90, W2: 10}, "2/def/10") == ["patch HTTPRoute", "patch GRPCRoute"]
    assert store.state(BOTH).weights == {W1: 90, W2: 10}
    assert store.write(only, {W1: 90, W2: 10}, "2/def/10", "Replace") == ["patch HTTPRoute", "patch GRPCRoute"]
    assert not store.state(only).widened
    assert list(routes.read(only, store.found).parked) == ["GRPCRoute"]
    assert routes.delete_parked(only, store.found) == (Delete(REFS[GRPC_ROUTE]),)


def test_parked_route_counts_for_nothing_and_is_written_no_more(store: Store) -> None:
    """Breaks if a route that serves nobody holds up a weight, or gets one."""
    only = endpoint(HTTP)
    store.write(BOTH, {W1: 100}, "1/abc/100")
    store.write(only, {W1: 100}, "1/abc/100", "Replace")
    store.accept(HTTP_ROUTE)
    for change in ("Keep", "Replace"):
        assert store.write(only, {W1: 90, W2: 10}, "2/def/10", change) == ["patch HTTPRoute"]
    reading = routes.read(only, store.found)
    assert reading.state
    assert (reading.agreed, reading.state.weights, reading.state.current) == (True, {W1: 90, W2: 10}, True)
    assert (reading.parked["GRPCRoute"].weights, reading.parked["GRPCRoute"].current) == ({W1: 100}, False)
    store.accept(GRPC_ROUTE, status="False")
    assert routes.read(only, store.found).parked["GRPCRoute"].current  # refused, so it serves nobody either


def test_parked_route_serves_again_where_the_spec_names_it_again(store: Store) -> None:
    only = endpoint(HTTP)
    store.write(BOTH, {W1: 100}, "1/abc/100")
    before = copy.deepcopy(store.objects[REFS[GRPC_ROUTE]])
    store.write(only, {W1: 100}, "1/abc/100", "Replace")
    assert store.objects[REFS[GRPC_ROUTE]] != before
    assert routes.read(BOTH, store.found).parked == {}
    assert store.state(BOTH).frame != routes.read(BOTH, store.found).frame
    assert not store.state(BOTH).current
    assert routes.delete_parked(BOTH, store.found) == ()
    store.write(BOTH, {W1: 100}, "1/abc/100", "Widen")
    assert store.objects[REFS[GRPC_ROUTE]] == before


def test_object_that_is_about_to_go_need_not_be_accepted(store: Store) -> None:
    """Breaks if a Gateway that is gone, perhaps the reason of the change, holds the new one up."""
    store.write(BOTH, {W1: 100}, "1/abc/100")
    store.accept(HTTP_ROUTE)
    assert store.state(endpoint(HTTP)).current


def test_object_that_somebody_deleted_changes_the_frame(store: Store) -> None:
    store.write(BOTH, {W1: 100}, "1/abc/100")
    store.objects[Ref(GRPC_ROUTE, "digits.grpc")] = None
    store.accept(HTTP_ROUTE)
    state = store.state(BOTH)
    assert state.frame != routes.read(BOTH, store.found).frame
    assert (state.current, state.message) == (False, "GRPCRoute: there is none yet")
    assert store.write(BOTH, {W1: 100}, "1/abc/100", "Widen") == ["patch HTTPRoute", "create GRPCRoute"]


def test_kind_that_is_missing_is_named_and_the_others_are_written() -> None:
    """Breaks if a candidate kept its traffic over HTTP because there is no kind for gRPC."""
    store = Store(HTTP_ROUTE)
    missing = routes.read(BOTH, store.found).missing
    assert missing
    assert missing.reason == "GatewayAPIMissing"
    assert missing.message.startswith("the cluster has no GRPCRoute kind; install the Gateway API CRDs")
    store.write(endpoint(HTTP), {W1: 70, W2: 30}, "2/def/30")
    assert store.write(BOTH, {W1: 100}, "2/def/0") == ["patch HTTPRoute"]
    assert store.state(BOTH).message == missing.message
    assert routes.read(endpoint(HTTP), store.found).missing is None


def test_preview_leads_to_the_candidate_when_it_does_so_over_every_protocol(store: Store) -> None:
    """Breaks if one object speaks for all: a version could be reached over gRPC after it was taken back."""
    declared = {"preview": {"header": {"name": "x-preview", "value": "new"}}}
    both = endpoint({"gateway": {**GRPC["gateway"], **declared}})
    store.write(replace(both, preview=W2), {W1: 100}, "1/abc/100")
    assert store.state(both).preview == W2
    rules = [body["spec"]["rules"] for body in store.objects.values() if body]
    for preview, ordinary in rules:
        assert preview["matches"][0]["headers"] == [{"type": "Exact", "name": "x-preview", "value": "new"}]
        assert preview["filters"][0]["requestHeaderModifier"]["set"] == [{"name": "x-luntra-preview", "value": "true"}]
        assert ordinary["filters"][0]["requestHeaderModifier"]["remove"] == ["x-luntra-preview"]
    assert [preview["backendRefs"][0]["port"] for preview, _ in rules] == [8080, 8081]
    for behind in rules:
        known = behind.pop(0)
        assert store.state(both).preview not in (None, W2)
        behind.insert(0, known)
    store.write(both, {W1: 100}, "1/abc/100")
    assert store.state(both).preview is None


def test_session_is_refused_where_what_divides_the_traffic_cannot_keep_it(store: Store) -> None:
    session = {"session": {"header": "x-session-id"}}
    for traffic, told in ((HTTP, "HTTPRoute cannot keep"), (GRPC, "HTTPRoute and GRPCRoute cannot keep")):
        unkept = routes.read(endpoint(traffic | session), store.found).unkept
        assert unkept
        assert unkept.reason == "SessionsNotKept"
        assert f"{told} a session (x-session-id) with one version" in unkept.message
        assert routes.read(endpoint(traffic), store.found).unkept is None
    assert routes.read(endpoint(session), store.found).unkept is None


def test_everything_of_ours_is_removed_when_the_spec_names_nothing(store: Store) -> None:
    store.write(BOTH, {W1: 100}, "1/abc/100")
    removed = routes.remove(endpoint(None), store.found)
    assert [write.ref for write in removed if isinstance(write, Patch)] == [REFS[HTTP_ROUTE], REFS[GRPC_ROUTE]]
    assert routes.delete_parked(endpoint(None), store.found) == ()
    for write in removed:
        store.carry_out(write)
    assert routes.read(endpoint(None), store.found).state is None
    assert routes.remove(endpoint(None), store.found) == ()
    assert routes.delete_parked(endpoint(None), store.found) == (Delete(REFS[HTTP_ROUTE]), Delete(REFS[GRPC_ROUTE]))
    assert routes.remove(endpoint(None, uid="another"), store.found) == ()


def test_route_of_somebody_else_is_a_conflict_only_where_it_is_wanted(store: Store) -> None:
    store.write(endpoint(GRPC, uid="another"), {W1: 100}, "1/abc/100")
    store.objects[Ref(HTTP_ROUTE, "digits")] = None
    assert (
        routes.read(BOTH, store.found).conflict
        == "the GRPCRoute digits.grpc is not owned by this object; delete or rename it"
    )
    assert routes.read(endpoint(HTTP), store.found).conflict is None
