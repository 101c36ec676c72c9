"""The operator's keys: how they turn, how they are kept, and that two operators agree on them."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from luntra_operator.api.vocabulary import ANNOTATION_ROTATE, KEY_STORE
from luntra_operator.controller.keys import LOOK, RETRY, StoredKeys
from luntra_operator.kube import kinds
from luntra_operator.kube.errors import ConflictError, UnavailableError
from luntra_operator.pods.keys import MAX_AGE, SETTLE, Key, KeysError, Ring, read_ring
from tests.operator.controller.fake_kube import FakeKube, Object
from tests.operator.controller.fake_time import in_fake_time

if TYPE_CHECKING:
    from luntra_operator.kube.client import Kube

START = datetime(2026, 1, 1, tzinfo=UTC)
SPACE = "luntra-system"


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_key_that_was_asked_for_is_handed_out_first_then_signs_then_stands_alone() -> None:
    """Breaks if a key signs before every pod can know it, or the old one goes while a pod may know it alone."""
    ring = Ring.new(START)
    (old,) = ring.keys
    assert ring.turned(later(60)) == ring
    both = ring.turned(START, "2026-01")
    new = both.keys[-1]
    assert [key["kid"] for key in json.loads(both.public)["keys"]] == [old.public["kid"], new.public["kid"]]
    assert both.signing(later(SETTLE - 1)) == (old, new)
    assert both.signing(later(SETTLE)) == (new, old)
    assert both.turned(later(2 * SETTLE - 1), "2026-01") == both
    alone = both.turned(later(2 * SETTLE), "2026-01")
    assert alone.keys == (new,)
    assert alone.turned(later(3 * SETTLE), "2026-01") == alone, "each request counts once"
    assert alone.turned(later(3 * SETTLE), "again").keys[0] == new


def test_old_key_is_replaced_by_itself() -> None:
    ring = Ring.new(START)
    assert ring.turned(later(MAX_AGE - 1)) == ring
    assert len(ring.turned(later(MAX_AGE)).keys) == 2


def test_public_keys_hold_nothing_secret_and_a_key_is_not_shown_in_logs() -> None:
    ring = Ring.new(START)
    (jwk,) = json.loads(ring.public)["keys"]
    assert set(jwk) == {"kty", "crv", "kid", "alg", "use", "x"}
    assert "seed" not in repr(ring)


def test_stored_keys_are_read_again() -> None:
    ring = Ring.new(START).turned(START, "x")
    assert read_ring(ring.stored()) == ring


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"keys": []}',
        '{"keys": [{"d": "AA", "x": "AA", "madeAt": "2026-01-01T00:00:00+00:00"}]}',
        '{"keys": [7]}',
    ],
)
def test_text_that_holds_no_keys_is_an_error(text: str) -> None:
    with pytest.raises(KeysError):
        read_ring(text)


def test_halves_that_do_not_belong_together_are_an_error() -> None:
    stored = json.loads(Ring.new(START).stored())
    stored["keys"][0]["x"] = Key.new(START).public["x"]
    with pytest.raises(KeysError, match="do not belong together"):
        read_ring(json.dumps(stored))


class Store(FakeKube):
    """Knows `replace`, and lets others in between a read and a write."""

    async def get(self, kind: kinds.Kind, namespace: str, name: str) -> Object | None:
        found = await super().get(kind, namespace, name)
        await asyncio.sleep(0)
        return found

    async def replace(self, kind: kinds.Kind, body: Object) -> Object:
        self._note("replace", kind, body["metadata"]["name"])
        if (
            self.peek(kind, body["metadata"]["name"], SPACE)["metadata"]["resourceVersion"]
            != body["metadata"]["resourceVersion"]
        ):
            raise ConflictError("modified")
        return self.put(kind, body)


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def keys(store: Store, clock: Clock) -> StoredKeys:
    return StoredKeys(cast("Kube", store), SPACE, clock)


async def test_two_operators_that_start_at_once_have_the_same_key(store: Store, clock: Clock) -> None:
    several = [keys(store, clock) for _ in range(5)]
    await asyncio.gather(*(one.refresh() for one in several))
    assert len({one.ring.public for one in several}) == 1
    assert store.writes.count(("create", "Secret", KEY_STORE)) > 1, "there was a race"


async def test_rotation_is_done_once_however_many_see_that_it_is_due(store: Store, clock: Clock) -> None:
    several = [keys(store, clock) for _ in range(5)]
    await several[0].refresh()
    store.peek(kinds.SECRET, KEY_STORE, SPACE)["metadata"]["annotations"] = {ANNOTATION_ROTATE: "now"}
    await asyncio.gather(*(one.refresh() for one in several))
    assert len({one.ring.public for one in several}) == 1
    assert len(several[0].ring.keys) == 2
    clock.now = later(2 * SETTLE)
    await asyncio.gather(*(one.refresh() for one in several))
    assert {len(one.ring.keys) for one in several} == {1}


async def test_restarted_operator_reads_what_the_one_before_made(store: Store, clock: Clock) -> None:
    first, second = keys(store, clock), keys(store, clock)
    await first.refresh()
    await second.refresh()
    assert second.ring == first.ring
    assert [verb for verb, _, _ in store.writes] == ["create"]


async def test_secret_that_holds_no_keys_is_told_with_the_fix_and_left_alone(store: Store, clock: Clock) -> None:
    data = {"ring.json": base64.b64encode(b"{}").decode()}
    store.put(kinds.SECRET, {"metadata": {"name": KEY_STORE, "namespace": SPACE}, "data": data})
    with pytest.raises(KeysError, match=r"Secret luntra-system/luntra-keys: .*; delete it, and a new key is made"):
        await keys(store, clock).refresh()
    assert store.writes == []


def test_changed_keys_are_told_once_and_failures_are_survived(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        store, clock = Store(), Clock()
        told: list[int] = []
        held = keys(store, clock)
        store.failures["get", kinds.SECRET] = UnavailableError("no answer")
        task = asyncio.create_task(held.run(lambda: told.append(len(held.ring.keys))))
        await asyncio.sleep(3 * RETRY)
        assert not held.known.is_set()
        store.failures.clear()
        await asyncio.sleep(LOOK)
        assert held.known.is_set()
        assert told == [], "who asks for keys for the first time waits for them"
        store.peek(kinds.SECRET, KEY_STORE, SPACE)["metadata"]["annotations"] = {ANNOTATION_ROTATE: "now"}
        await asyncio.sleep(3 * LOOK)
        assert told == [2]
        await store.delete(kinds.SECRET, SPACE, KEY_STORE)
        await asyncio.sleep(3 * LOOK)
        assert told == [2, 1]
        task.cancel()

    in_fake_time(scenario())
    assert "could not be read or written: no answer" in caplog.text
