"""Which events of the API server add which key to the queue."""

from typing import Any, cast

import pytest

from luntra_operator.controller.queue import Key, WorkQueue
from luntra_operator.runtime.watches import Watches

Object = dict[str, Any]
KEY = ("team-a", "digits")


class Added:
    """Takes the place of the queue and remembers what was added."""

    def __init__(self) -> None:
        self.keys: list[Key] = []

    def add(self, key: Key, after: float = 0.0) -> None:
        self.keys.append(key)


@pytest.fixture
def queue() -> Added:
    return Added()


@pytest.fixture
def watches(queue: Added) -> Watches:
    return Watches(cast("WorkQueue", queue), ())


def event(kind: str | None = "MODIFIED", **metadata: Any) -> Object:
    meta = {"name": "digits", "namespace": "team-a", "uid": "u1", "generation": 1, **metadata}
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
