"""What the process remembers of an object goes with the object, also where its deletion was missed."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest

from luntra_operator.controller.execute import Images
from luntra_operator.controller.queue import WorkQueue
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.kube import kinds
from luntra_operator.kube.errors import ConflictError, UnavailableError
from luntra_operator.runtime.resync import RESYNC, resync
from luntra_operator.runtime.watches import Watches
from tests.operator.controller.fake_time import in_fake_time
from tests.operator.controller.in_memory import Gateway

if TYPE_CHECKING:
    from luntra_operator.kube.client import Kube

Object = dict[str, Any]
COUNT = 10_000


class Server:
    """Has objects whose spec is invalid, so that a turn is short; every third conflicts, every fifth fails at first."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.failed: set[str] = set()

    async def get(self, kind: kinds.Kind, namespace: str, name: str) -> Object | None:
        if name in self.objects and int(name[1:]) % 5 == 0 and name not in self.failed:
            self.failed.add(name)
            raise UnavailableError("no answer")
        return self.objects.get(name)

    async def versions(self, kind: kinds.Kind, namespace: str | None, selector: str = "") -> list[Object]:
        return [one["metadata"] for one in self.objects.values()] if kind is kinds.MODEL_DEPLOYMENT else []

    async def replace_status(self, kind: kinds.Kind, body: Object) -> Object:
        if int(body["metadata"]["name"][1:]) % 3 == 0:
            raise ConflictError("modified")
        return body


def body(number: int) -> Object:
    meta = {"name": f"m{number}", "namespace": "team-a", "uid": f"u{number}", "generation": 1, "resourceVersion": "1"}
    return {"metadata": meta, "spec": {"replicas": -1}}


def test_ten_thousand_objects_that_came_and_went_leave_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Breaks if a dict keyed by object is not emptied by a deletion, or by the net where the deletion was not heard of."""
    caplog.set_level(logging.CRITICAL)

    async def scenario() -> None:
        server = Server()
        kube = cast("Kube", server)
        reconciler = Reconciler(kube, Gateway(), Images("s", "c"))
        queue = WorkQueue(reconciler, workers=8)
        watches = Watches(queue, ())
        tasks = [
            asyncio.create_task(queue.run()),
            asyncio.create_task(resync(kube, queue, (), watches, reconciler)),
        ]
        for number in range(COUNT):
            server.objects[f"m{number}"] = body(number)
            await watches._object_event({"type": "ADDED", "object": body(number)})
        await asyncio.sleep(5)
        assert len(watches._seen) == COUNT
        assert len(reconciler.remembered) == COUNT
        for number in range(COUNT):
            del server.objects[f"m{number}"]
            if number % 2:  # of the others' deletion nobody hears
                await watches._object_event({"type": "DELETED", "object": body(number)})
        await asyncio.sleep(RESYNC + 60)
        assert len(watches._seen) == 0
        assert reconciler.remembered == set()
        assert (len(queue), queue._later, queue._ready, queue.failing or None, queue.running) == (0, [], [], None, {})
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    in_fake_time(scenario())


def test_list_that_is_not_whole_makes_nothing_be_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    class Partly:
        async def versions(self, kind: kinds.Kind, namespace: str | None, selector: str = "") -> list[Object]:
            if namespace == "team-b":
                raise UnavailableError("no answer")
            return [body(1)["metadata"]] if kind is kinds.MODEL_DEPLOYMENT else []

    class Kept:
        asked = 0

        def keep_only(self, uids: set[str]) -> None:
            self.asked += 1

    async def scenario() -> None:
        async def work(key: tuple[str, str]) -> None:
            return

        queue, memory = WorkQueue(work), Kept()
        task = asyncio.create_task(resync(cast("Kube", Partly()), queue, ("team-b", "team-a"), memory))
        await asyncio.sleep(1)
        assert len(queue) == 1
        assert memory.asked == 0
        task.cancel()

    in_fake_time(scenario())
    assert "objects could not be listed, the watches go on: no answer" in caplog.text
