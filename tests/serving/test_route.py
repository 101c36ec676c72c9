"""The route and the board: what a reader sees while others publish."""

from __future__ import annotations

import threading

import pytest

from luntra_serving.swap.route import RouteSlot, Served
from luntra_serving.swap.versions import State, VersionBoard, VersionStatus


def test_before_anything_is_published_nothing_is_served() -> None:
    slot: RouteSlot[int] = RouteSlot()
    assert (slot.current.epoch, slot.current.stable) == (0, None)


def test_readers_see_whole_routes_and_epochs_that_never_fall() -> None:
    slot: RouteSlot[int] = RouteSlot()
    slot.publish(Served("v0", "sha256:0", 0))
    torn: list[object] = []
    stop = threading.Event()

    def read() -> None:
        last = 0
        while not stop.is_set():
            route = slot.current
            served = route.stable
            if served is None or served.version != f"v{served.model}" or route.epoch < last:
                torn.append(route)
            last = route.epoch

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(1, 2000):
        slot.publish(Served(f"v{number}", f"sha256:{number}", number))
    stop.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert slot.current.epoch == 2000


def test_a_route_that_was_read_stays_as_it_was() -> None:
    slot: RouteSlot[int] = RouteSlot()
    read = slot.publish(Served("v1", "d1", 1))
    slot.publish(Served("v2", "d2", 2))
    assert read.stable is not None
    assert read.stable.version == "v1"
    with pytest.raises(AttributeError):
        read.epoch = 9  # type: ignore[misc]


def test_the_board_keeps_the_latest_status_and_snapshots_do_not_change() -> None:
    board = VersionBoard()
    board.put(VersionStatus("v1", "sha256:1", "file:///x"))
    before = board.read()
    board.stage("v1", "fetch", 0.5)
    board.move("v1", State.FAILED, reason="DigestMismatch", message="no")
    after = board.read()["v1"]
    assert (before["v1"].state, dict(before["v1"].stages)) == (State.LOADING, {})
    assert (after.state, after.reason, dict(after.stages)) == (State.FAILED, "DigestMismatch", {"fetch": 0.5})
    with pytest.raises(KeyError):
        board.move("v2", State.READY)
