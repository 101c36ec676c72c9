"""Which events of the API server add which key to the queue."""

import asyncio
import itertools
from typing import Any, cast

import aiohttp
import kopf
import pytest

from luntra_operator.controller.queue import Key, Priority, WorkQueue
from luntra_operator.runtime import watches as watches_module
from luntra_operator.runtime.watches import _CHILDREN, ECHO, RESTART, Watches, _Backoffs, _Session

Object = dict[str, Any]
KEY = ("team-a", "digits")
META = {"name": "digits", "namespace": "team-a", "uid": "u1", "generation": 1}


class Added:
    """Takes the place of the queue and remembers what was added."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.priorities: list[Priority] = []
        self.pauses: list[float] = []

    def add(self, key: Key, after: float = 0.0, priority: Priority = Priority.NORMAL) -> None:
        self.keys.append(key)
        self.priorities.append(priority)
        self.pauses.append(after)


@pytest.fixture
def queue() -> Added:
    return Added()


@pytest.fixture
def watches(queue: Added) -> Watches:
    return Watches(cast("WorkQueue", queue), ())


def event(kind: str | None = "MODIFIED", **metadata: Any) -> Object:
    meta = {**META, **metadata}
    return {"type": kind, "object": {"metadata": meta, "status": metadata.pop("status", {})}}


async def test_new_and_edited_objects_are_added(watches: Watches, queue: Added) -> None:
    await watches._object_event(event("ADDED"))
    await watches._object_event(event(generation=2))
    await watches._object_event(event(generation=2, annotations={"luntra.io/retry": "v2"}))
    await watches._object_event(event(generation=2, annotations={"luntra.io/retry": "v2"}, deletionTimestamp="x"))
    assert queue.keys == [KEY] * 4


async def test_events_that_our_own_status_writes_cause_are_dropped(watches: Watches, queue: Added) -> None:
    await watches._object_event(event("ADDED"))
    await watches._object_event(event(resourceVersion="8", managedFields=[{"manager": "luntra"}]))
    await watches._object_event(event(resourceVersion="9"))
    assert queue.keys == [KEY]


async def test_every_relist_adds_every_object_again(watches: Watches, queue: Added) -> None:
    await watches._object_event(event(None))
    await watches._object_event(event(None))
    assert queue.keys == [KEY] * 2


async def test_object_that_is_deleted_and_made_again_is_added(watches: Watches, queue: Added) -> None:
    await watches._object_event(event("ADDED"))
    await watches._object_event(event("DELETED"))
    await watches._object_event(event("ADDED", uid="u2"))
    assert queue.keys == [KEY] * 3
    await watches._object_event(event("DELETED", uid="u2"))
    assert watches._seen == {}


@pytest.mark.parametrize("kind", [None, "ADDED", "MODIFIED", "DELETED"])
async def test_event_of_a_child_adds_its_owner(watches: Watches, queue: Added, kind: str | None) -> None:
    child = event(kind, name="digits-w1-abc", labels={"luntra.io/model-deployment": "digits"})
    await watches._child_event(child)
    assert queue.keys == [KEY]


async def test_event_of_a_route_adds_the_object_that_owns_it(watches: Watches, queue: Added) -> None:
    await watches._route_event(event(name="somebody's"))
    await watches._route_event(event(ownerReferences=[{"apiVersion": "apps/v1", "name": "else"}]))
    assert queue.keys == []
    await watches._route_event(event(ownerReferences=[{"apiVersion": "luntra.io/v1alpha1", "name": "digits"}]))
    assert queue.keys == [KEY]


async def test_what_a_list_found_at_rest_waits_for_all_else_and_an_edited_route_for_nothing(
    watches: Watches, queue: Added
) -> None:
    """Breaks if a start with many objects keeps rollouts waiting, or many rollouts the repair of a route."""
    for kind, phase in (
        (None, "Stable"),
        (None, "RolledBack"),
        (None, "Shifting"),
        (None, "Soaking"),
        ("MODIFIED", "Stable"),
    ):
        await watches._object_event(event(kind, uid=f"u{phase}{kind}", status={"phase": phase}))
    low, normal, urgent = Priority.BACKGROUND, Priority.NORMAL, Priority.URGENT
    assert queue.priorities == [low, low, normal, normal, Priority.ASKED]
    queue.priorities.clear()
    mine = {"ownerReferences": [{"apiVersion": "luntra.io/v1alpha1", "name": "digits"}]}
    for kind in (None, "MODIFIED"):
        await watches._child_event(event(kind, labels={"luntra.io/model-deployment": "digits"}))
        await watches._route_event(event(kind, **mine))
    assert queue.priorities == [low, low, normal, urgent]


async def test_a_pod_is_looked_at_at_once_and_its_echoes_together(watches: Watches, queue: Added) -> None:
    """Breaks if a death waits, or if each object that follows a change costs a turn of its own."""
    labels = {"luntra.io/model-deployment": "digits"}
    for kind in ("Pod", "Deployment", "EndpointSlice"):
        await watches._child_event(
            {"type": "MODIFIED", "object": {"kind": kind, "metadata": {**META, "labels": labels}}}
        )
    assert queue.pauses == [0.0, ECHO, ECHO]


async def test_a_death_goes_before_all_else_that_pods_do(watches: Watches, queue: Added) -> None:
    """Breaks if clients of a dead pod wait for rollouts that merely go on; a list tells nothing new."""
    labels = {"luntra.io/model-deployment": "digits"}
    died = {"name": "server", "state": {"terminated": {"exitCode": 139}}}
    ready = {"name": "server", "state": {"running": {}}, "restartCount": 1}
    for kind, container in (("MODIFIED", ready), ("MODIFIED", died), (None, died)):
        pod = {"kind": "Pod", "metadata": {**META, "labels": labels}, "status": {"containerStatuses": [container]}}
        await watches._child_event({"type": kind, "object": pod})
    assert queue.priorities == [Priority.NORMAL, Priority.URGENT, Priority.BACKGROUND]


def adopting(name: str, route: object, *, lent: tuple[str, ...] = (), kind: str = "MODIFIED", **meta: Any) -> Object:
    """News of an object whose spec names a route of the user's, and whose status says which ones are lent."""
    spec = {"traffic": {"gateway": {"mode": "Adopted", "routeRef": {"name": route, "rule": "model"}}}}
    metadata = {"name": name, "namespace": "team-a", "uid": f"uid-{name}", "generation": 1, **meta}
    return {"type": kind, "object": {"metadata": metadata, "spec": spec, "status": {"adopted": list(lent)}}}


async def woken(
    watches: Watches, queue: Added, route: str, kind: str = "MODIFIED", namespace: str = "team-a"
) -> set[str]:
    """Names of the objects that news of a route wake."""
    queue.keys.clear()
    await watches._route_event(event(kind, name=route, namespace=namespace, uid="r1"))
    assert len(queue.keys) == len(set(queue.keys))
    return {name for _, name in queue.keys}


async def test_event_of_a_users_route_wakes_those_that_adopt_it_and_no_others(watches: Watches, queue: Added) -> None:
    """Breaks if a route without an owner leads to nobody, or to everybody."""
    for name, route in (("digits", "shop"), ("letters", "shop"), ("words", "books")):
        await watches._object_event(adopting(name, route, kind="ADDED"))
    await watches._object_event(event("ADDED", name="owned", uid="u9"))
    await watches._object_event(adopting("elsewhere", "shop", kind="ADDED", namespace="team-b"))
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        assert await woken(watches, queue, "shop", kind) == {"digits", "letters"}
    assert await woken(watches, queue, "books") == {"words"}
    assert await woken(watches, queue, "shop", namespace="team-b") == {"elsewhere"}
    assert await woken(watches, queue, "somebody's") == set()


async def test_route_that_the_spec_has_left_wakes_its_object_until_it_is_given_back(
    watches: Watches, queue: Added
) -> None:
    await watches._object_event(adopting("digits", "shop", lent=("shop",), kind="ADDED"))
    await watches._object_event(adopting("digits", "books", lent=("shop",), generation=2))
    assert (await woken(watches, queue, "shop"), await woken(watches, queue, "books")) == ({"digits"}, {"digits"})
    await watches._object_event(adopting("digits", "books", lent=("books", "shop"), generation=2))
    await watches._object_event(adopting("digits", "books", lent=("books",), generation=2))
    assert (await woken(watches, queue, "shop"), await woken(watches, queue, "books")) == (set(), {"digits"})


@pytest.mark.parametrize(
    "traffic", [None, {}, {"gateway": {"parentRefs": []}}, {"gateway": None}, "none", {"gateway": {"routeRef": 7}}]
)
async def test_object_that_adopts_no_more_is_not_woken(watches: Watches, queue: Added, traffic: object) -> None:
    """Breaks if the index forgets nothing, or a section that cannot be read ends the watch."""
    await watches._object_event(adopting("digits", "shop", kind="ADDED"))
    changed = adopting("digits", "shop", generation=2)
    changed["object"]["spec"]["traffic"] = traffic
    await watches._object_event(changed)
    assert queue.keys == [KEY, KEY]
    assert await woken(watches, queue, "shop") == set()


@pytest.mark.parametrize("missed", [False, True])
async def test_object_that_is_gone_is_woken_no_more(watches: Watches, queue: Added, missed: bool) -> None:
    for name in ("digits", "letters"):
        await watches._object_event(adopting(name, "shop", lent=("shop",), kind="ADDED"))
    if missed:
        watches.keep_only({"uid-letters"})
    else:
        await watches._object_event(adopting("digits", "shop", lent=("shop",), kind="DELETED"))
    assert await woken(watches, queue, "shop") == {"letters"}
    assert len(watches._lent._routes) == 1


async def test_watches_ask_for_labelled_children_alone_and_never_give_up(watches: Watches) -> None:
    """Breaks if every pod of the cluster is sent to the operator, or an outage outlasts the attempts."""
    selectors = watches._settings.watching.label_selectors
    assert {(one.group, one.any_name): selectors[one] for one in selectors} == {
        (kind.group, kind.plural): "luntra.io/model-deployment" for kind in _CHILDREN
    }
    waits = list(itertools.islice(iter(_Backoffs()), 1000))
    assert all(0 < wait <= RESTART for wait in waits)
    assert len({*waits[10:]}) > 900


async def test_watches_that_the_library_gave_up_begin_anew(
    watches: Watches, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = asyncio.Queue[int]()

    async def operator(**_: Any) -> None:
        begun.put_nowait(begun.qsize())
        if begun.qsize() < 3:
            raise RuntimeError("Ran out of valid credentials")

    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.setattr(watches_module, "RESTART", 0)
    await watches.run(asyncio.Event())
    assert begun.qsize() == 3
    assert caplog.text.count("the watches ended and begin anew") == 2


async def test_credentials_that_were_refused_are_known_again_in_another_session() -> None:
    def session(token: str) -> _Session:
        known = kopf.ConnectionInfo(server="https://api.example", token=token)
        return _Session(server=known.server, aiohttp_session=aiohttp.ClientSession(), credentials=known)

    first, again, new = session("a"), session("a"), session("b")
    assert first == again
    assert first != new
    for one in (first, again, new):
        await one.aiohttp_session.close()


async def test_objects_are_counted_by_phase(watches: Watches) -> None:
    await watches._object_event({"type": None, "object": {"metadata": META}})
    assert watches.phases == {"Pending": 1}
    await watches._object_event({"type": "MODIFIED", "object": {"metadata": META, "status": {"phase": "Stable"}}})
    assert watches.phases == {"Stable": 1}
    watches.keep_only({"another"})
    assert watches.phases == {}


def test_objects_are_not_copied_to_tell_what_has_changed_in_them(watches: Watches) -> None:
    """Breaks if kopf's storage comes back: a deep copy of every object at every event, a third of the processor's time."""
    storage = watches._settings.persistence.diffbase_storage
    body = kopf.Body({"metadata": {"annotations": {"a": "b"}}, "spec": {"a": {"b": "c"}}})
    assert storage.build(body=body) == {}
    assert storage.fetch(body=body) is None
