"""The net below the watches looks at what has changed, and at nothing else."""

from typing import TYPE_CHECKING, Any, cast

import pytest

from luntra_operator.api.vocabulary import LABEL_DEPLOYMENT
from luntra_operator.controller.relist import Relist
from luntra_operator.kube import kinds
from luntra_operator.kube.errors import KindMissingError, UnavailableError

from .fake_kube import FakeKube

if TYPE_CHECKING:
    from luntra_operator.kube.client import Kube

Object = dict[str, Any]


def model(name: str, namespace: str = "team-a") -> tuple[kinds.Kind, Object]:
    return kinds.MODEL_DEPLOYMENT, {"metadata": {"name": name, "namespace": namespace}}


def child(kind: kinds.Kind, name: str, owner: str, namespace: str = "team-a") -> tuple[kinds.Kind, Object]:
    labels = {LABEL_DEPLOYMENT: owner}
    return kind, {"metadata": {"name": name, "namespace": namespace, "labels": labels}}


class Net:
    """What has changed in a namespace, None for all, since it was asked last."""

    def __init__(self, kube: FakeKube, namespace: str | None = None) -> None:
        self._relist, self._namespace = Relist(cast("Kube", kube)), namespace

    async def changed(self) -> set[tuple[str, str]]:
        return (await self._relist.listing(self._namespace)).changed


async def test_all_objects_are_new_at_first_and_none_is_afterwards() -> None:
    net = Net(FakeKube(model("one"), model("two", "team-b"), child(kinds.POD, "one-w1-x", "one")))
    assert await net.changed() == {("team-a", "one"), ("team-b", "two")}
    assert await net.changed() == set()


@pytest.mark.parametrize(
    "kind",
    [
        kinds.CONTROLLER_REVISION,
        kinds.DEPLOYMENT,
        kinds.SERVICE,
        kinds.CONFIG_MAP,
        kinds.POD_DISRUPTION_BUDGET,
        kinds.JOB,
        kinds.POD,
        kinds.ENDPOINT_SLICE,
        kinds.HTTP_ROUTE,
        kinds.GRPC_ROUTE,
    ],
)
async def test_a_child_that_comes_changes_or_goes_is_seen(kind: kinds.Kind) -> None:
    kube = FakeKube(model("one"), model("two"))
    net, piece = Net(kube), child(kind, "one-piece", "one")
    await net.changed()
    kube.put(*piece)
    assert await net.changed() == {("team-a", "one")}
    kube.put(*piece)
    assert await net.changed() == {("team-a", "one")}
    await kube.delete(kind, "team-a", "one-piece")
    assert await net.changed() == {("team-a", "one")}
    assert await net.changed() == set()


async def test_an_object_that_changes_is_seen() -> None:
    kube = FakeKube(model("one"), model("two"))
    net = Net(kube)
    await net.changed()
    kube.put(*model("two"))
    assert await net.changed() == {("team-a", "two")}


async def test_a_list_that_fails_leaves_what_was_known_as_it_was() -> None:
    kube = FakeKube(model("one"))
    net = Net(kube)
    await net.changed()
    kube.put(*child(kinds.POD, "one-w1-x", "one"))
    kube.failures["list", kinds.ENDPOINT_SLICE] = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await net.changed()
    kube.failures.clear()
    assert await net.changed() == {("team-a", "one")}


async def test_a_cluster_without_the_gateway_api_is_listed_all_the_same() -> None:
    kube = FakeKube(model("one"))
    kube.failures["list", kinds.HTTP_ROUTE] = KindMissingError("no such kind")
    assert await Net(kube).changed() == {("team-a", "one")}


async def test_other_namespaces_are_not_looked_at() -> None:
    kube = FakeKube(model("one"), model("two", "team-b"))
    assert await Net(kube, "team-b").changed() == {("team-b", "two")}


async def test_what_exists_is_told_whether_it_has_changed_or_not() -> None:
    net = Relist(cast("Kube", FakeKube(model("one"), child(kinds.POD, "two-w1-x", "two"))))
    for changed in ({("team-a", "one"), ("team-a", "two")}, set()):
        listing = await net.listing(None)
        assert (listing.keys, listing.uids, listing.changed) == ({("team-a", "one")}, {"uid-one"}, changed)
