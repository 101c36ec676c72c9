"""`luntra approve` and its like, with objects in memory in place of a cluster."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, cast

import pytest

from luntra_operator.api.revision import revision_content, revision_hash
from luntra_operator.api.validation import parse_spec
from luntra_operator.cli.change import change
from luntra_operator.cli.main import main
from luntra_operator.cli.objects import ClusterObjects
from luntra_operator.cli.verbs import NotPossibleError
from luntra_operator.kube.errors import ConflictError
from tests.operator.cli.in_memory import InMemory

if TYPE_CHECKING:
    from luntra_operator.kube.client import Kube
    from luntra_operator.kube.kinds import Kind

Document = dict[str, Any]


def in_memory(document: Document, *revisions: Document, conflicts: int = 0) -> InMemory:
    objects = InMemory(document)
    objects.stored, objects.conflicts = list(revisions), conflicts
    return objects


def asked_of(objects: InMemory) -> dict[str, str]:
    found: dict[str, str] = objects.documents[0]["metadata"].get("annotations", {})
    return found


def run(objects: InMemory, *arguments: str) -> int:
    return main([*arguments, "-n", "shop"], objects.opening)


def stored(version: str, **serving: Any) -> Document:
    """The ControllerRevision of a version."""
    spec = parse_spec(
        {
            "model": {"version": version, "uri": f"https://models.example/{version}", "digest": "sha256:" + "a" * 64},
            "serving": serving,
        }
    )
    name = revision_hash(spec)
    return {"metadata": {"labels": {"luntra.io/revision": name}}, "data": {**revision_content(spec), "image": "i"}}


def revision(document: Document) -> str:
    found: str = document["metadata"]["labels"]["luntra.io/revision"]
    return found


@pytest.fixture
def waiting(shifting: Document) -> Document:
    """A rollout that waits for approval."""
    shifting["status"]["phase"] = "AwaitingApproval"
    return shifting


@pytest.fixture
def settled(shifting: Document) -> tuple[Document, list[Document]]:
    """v3 is stable after v2, v1 and a refused v2b; the spec names it."""
    one, two, bad, three = versions = [
        stored("v1", runtime={"maxQueue": 8}),
        stored("v2"),
        stored("v2b"),
        stored("v3", runtime={"maxBatch": 4}),
    ]
    outcomes = ((three, "Promoted"), (bad, "RolledBack"), (two, "Promoted"), (one, "Promoted"))
    shifting["spec"]["model"] = three["data"]["model"]
    shifting["spec"]["serving"] = three["data"]["serving"]
    shifting["status"] = {
        "phase": "Stable",
        "attempt": 4,
        "stable": {"revision": revision(three), "version": "v3"},
        "history": [
            {"revision": revision(one), "version": one["data"]["model"]["version"], "outcome": outcome}
            for one, outcome in outcomes
        ],
    }
    return shifting, versions


def test_approval_names_revision_and_attempt(waiting: Document, capsys: pytest.CaptureFixture[str]) -> None:
    objects = in_memory(waiting)
    assert run(objects, "approve", "digits") == 0
    assert asked_of(objects) == {"luntra.io/approve": "77aa00bb11/3"}
    assert capsys.readouterr().out == "digits: v2 goes on\n"


def test_write_that_comes_too_late_is_made_again(waiting: Document) -> None:
    objects = in_memory(waiting, conflicts=3)
    assert run(objects, "approve", "digits") == 0
    assert asked_of(objects)


def test_object_that_never_stands_still_is_given_up(waiting: Document, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(in_memory(waiting, conflicts=100), "approve", "digits") == 1
    assert "10 times in a row" in capsys.readouterr().err


class Contested:
    """The client of an API server at which the first write meets one of the operator's, which nobody has seen yet."""

    def __init__(self, *reads: Document) -> None:
        self.reads, self.written = list(reads), list[Document]()

    async def get(self, _kind: Kind, _namespace: str, _name: str) -> Document:
        return copy.deepcopy(self.reads[0])

    async def replace(self, _kind: Kind, body: Document) -> None:
        if len(self.reads) > 1:
            del self.reads[0]
            raise ConflictError("Operation cannot be fulfilled: the object has been modified (409)")
        self.written.append(body)


def meanwhile(document: Document) -> Document:
    """The same object after a write of the operator's."""
    changed = copy.deepcopy(document)
    changed["metadata"]["resourceVersion"] = "9"
    changed["status"]["conditions"] = []
    return changed


@pytest.mark.parametrize("verb", ["approve", "abort", "pause"])
async def test_conflict_at_the_api_server_has_the_object_read_and_written_again(waiting: Document, verb: str) -> None:
    """Breaks if a 409 ends the command, or what is written again is what was read first."""
    kube = Contested(waiting, meanwhile(waiting))
    assert await change(verb, "team-a", "digits", None, ClusterObjects(cast("Kube", kube)))
    (written,) = kube.written
    assert written["metadata"]["resourceVersion"] == "9"
    assert written["status"]["conditions"] == []


async def test_what_is_not_possible_any_more_after_a_conflict_is_not_done(waiting: Document) -> None:
    kube = Contested(waiting, {**waiting, "status": {**waiting["status"], "phase": "Stable"}})
    with pytest.raises(NotPossibleError, match="does not wait for approval"):
        await change("approve", "team-a", "digits", None, ClusterObjects(cast("Kube", kube)))
    assert kube.written == []


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("approve", "does not wait for approval; it is Shifting with v2"),
        ("retry", "no version of digits is refused; it is Shifting with v2"),
        ("resume", "digits is not paused"),
    ],
)
def test_verb_that_has_nothing_to_do_says_what_there_is(
    shifting: Document, verb: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = in_memory(copy.deepcopy(shifting))
    assert run(objects, verb, "digits") == 1
    assert told in capsys.readouterr().err
    assert objects.documents[0] == shifting


def test_object_that_does_not_exist_is_named(shifting: Document, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(in_memory(shifting), "abort", "digit") == 1
    assert "no ModelDeployment 'digit' in namespace 'shop'; there are: digits" in capsys.readouterr().err


@pytest.mark.parametrize(("phase", "aborted"), [("Shifting", "77aa00bb11/3"), ("Soaking", "3f2a9c1d0b/3")])
def test_abort_names_the_candidate_or_in_the_soak_the_promoted_version(
    shifting: Document, phase: str, aborted: str
) -> None:
    shifting["status"]["phase"] = phase
    objects = in_memory(shifting)
    assert run(objects, "abort", "digits") == 0
    assert asked_of(objects) == {"luntra.io/abort": aborted}


def test_first_version_cannot_be_aborted(shifting: Document, capsys: pytest.CaptureFixture[str]) -> None:
    del shifting["status"]["stable"]
    assert run(in_memory(shifting), "abort", "digits") == 1
    assert "there is nothing to go back to" in capsys.readouterr().err


def test_retry_names_the_refused_revision(shifting: Document) -> None:
    shifting["status"]["phase"] = "RolledBack"
    objects = in_memory(shifting)
    assert run(objects, "retry", "digits") == 0
    assert asked_of(objects) == {"luntra.io/retry": "dead00beef/3"}


def test_pause_and_resume_leave_no_trace(shifting: Document) -> None:
    objects = in_memory(copy.deepcopy(shifting))
    assert run(objects, "pause", "digits") == 0
    assert objects.documents[0]["spec"]["rollout"]["paused"] is True
    assert run(objects, "pause", "digits") == 1
    assert run(objects, "resume", "digits") == 0
    assert objects.documents[0] == shifting


@pytest.mark.parametrize(("to", "version"), [((), "v2"), (("--to", "v1"), "v1")])
def test_rollback_sets_model_and_serving_back(
    settled: tuple[Document, list[Document]], to: tuple[str, ...], version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document, versions = settled
    objects = in_memory(document, *versions)
    assert run(objects, "rollback", "digits", *to) == 0
    wanted = next(one for one in versions if one["data"]["model"]["version"] == version)
    spec = objects.documents[0]["spec"]
    assert revision_hash(parse_spec({"model": spec["model"], "serving": spec.get("serving")})) == revision(wanted)
    assert f"from v3 to {version}; watch it: luntra status digits -n shop --watch" in capsys.readouterr().out


@pytest.mark.parametrize("phase", ["Shifting", "RolledBack"])
def test_rollback_of_a_version_under_way_or_refused_is_to_the_stable_one(
    settled: tuple[Document, list[Document]], phase: str
) -> None:
    document, versions = settled
    document["spec"]["model"] = stored("v4")["data"]["model"]
    document["status"]["phase"] = phase
    if phase == "Shifting":
        document["status"]["candidate"] = {"revision": "x", "version": "v4"}
    objects = in_memory(document, *versions)
    assert run(objects, "rollback", "digits") == 0
    assert objects.documents[0]["spec"]["model"]["version"] == "v3"


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("v9", "v9 is not in the history of digits; there are: v3, v2, v1"),
        ("v2b", "v2b was never promoted of digits; there are: v3, v2, v1"),
        ("v3", r"the spec of digits names v3 \(\w+\) already"),
    ],
)
def test_rollback_to_what_cannot_be_says_what_can(
    settled: tuple[Document, list[Document]], to: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document, versions = settled
    assert run(in_memory(document, *versions), "rollback", "digits", "--to", to) == 1
    assert re.search(told, capsys.readouterr().err)


def test_rollback_tells_who_keeps_the_object_in_git(
    settled: tuple[Document, list[Document]], capsys: pytest.CaptureFixture[str]
) -> None:
    document, versions = settled
    document["metadata"]["labels"] = {"kustomize.toolkit.fluxcd.io/name": "models"}
    assert run(in_memory(document, *versions), "rollback", "digits") == 0
    assert "Git manages this object: name v2 there too" in capsys.readouterr().out


def test_rollback_without_an_earlier_version_says_so(shifting: Document, capsys: pytest.CaptureFixture[str]) -> None:
    shifting["status"] = {"phase": "Stable", "stable": {"revision": "x", "version": "v1"}, "history": []}
    assert run(in_memory(shifting), "rollback", "digits") == 1
    assert "no earlier version of digits in its history" in capsys.readouterr().err
