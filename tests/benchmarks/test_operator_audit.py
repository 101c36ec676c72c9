"""What the operator's benchmark reads out of the API server's audit log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.operator.audit import AuditLog, parse, policy, weights
from benchmarks.operator.costs import kinds_of, split
from benchmarks.operator.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path


def line(verb: str = "patch", resource: str = "httproutes", user: str = "luntra", **changes: Any) -> bytes:
    event = {
        "kind": "Event",
        "auditID": "1",
        "stage": "ResponseComplete",
        "requestURI": "/apis/x?watch=true",
        "verb": verb,
        "user": {"username": user, "groups": ["system:masters"]},
        "objectRef": {"resource": resource, "namespace": "bench", "name": "model"},
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": "2026-11-21T12:00:00.250000Z",
        "stageTimestamp": "2026-11-21T12:00:01.000000Z",
    }
    return json.dumps(event | changes).encode()


def route(**shares: int) -> dict[str, Any]:
    refs = [{"name": name.replace("_", "-"), "weight": weight} for name, weight in shares.items()]
    return {"metadata": {"name": "model"}, "spec": {"rules": [{"backendRefs": refs}]}}


def test_a_request_has_its_user_target_times_and_content() -> None:
    found = parse(line(responseObject=route(model_w1=80, model_w2=20), requestObject=[{"op": "replace"}]))
    assert found is not None
    assert (found.user, found.verb, found.resource) == ("luntra", "patch", "httproutes")
    assert (found.namespace, found.name, found.code) == ("bench", "model", 200)
    assert found.ended - found.begun == pytest.approx(0.75)
    assert found.writes
    assert weights(found.body or {}) == {"model-w1": 80, "model-w2": 20}


def test_a_subresource_is_part_of_the_resource() -> None:
    target = {"resource": "canaries", "subresource": "status", "namespace": "bench", "name": "model"}
    found = parse(line("update", objectRef=target, requestObject={"status": {"phase": "Failed"}}))
    assert found is not None
    assert found.resource == "canaries/status"
    assert found.body == {"status": {"phase": "Failed"}}


def test_a_watch_counts_once_when_it_begins() -> None:
    assert parse(line("watch", stage="ResponseStarted")) is not None
    assert parse(line("watch")) is None


def test_a_watch_that_is_refused_counts_too() -> None:
    assert parse(line("watch", responseStatus={"code": 410})) is not None


def test_a_request_for_no_object_is_named_by_its_path() -> None:
    event = json.loads(line("get", requestURI="/version?timeout=32s"))
    del event["objectRef"]
    found = parse(json.dumps(event).encode())
    assert found is not None
    assert (found.resource, found.namespace) == ("/version", "")


def test_a_refused_write_has_written_nothing() -> None:
    found = parse(line(responseStatus={"code": 409}))
    assert found is not None
    assert not found.writes


@pytest.mark.parametrize("wrong", [b"no json", b"[]", b'{"verb": "get"}', b'"text"'])
def test_what_is_no_audit_event_is_an_error(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|audit event"):
        parse(wrong)


def test_a_weight_that_is_not_written_is_one() -> None:
    assert weights({"spec": {"rules": [{"backendRefs": [{"name": "a"}]}]}}) == {"a": 1}
    assert weights({"spec": {}}) == {}


def test_a_line_that_is_still_being_written_is_read_later(tmp_path: Path) -> None:
    path, text = tmp_path / "audit.log", line() + b"\n"
    path.write_bytes(text + text[:40])
    log = AuditLog(path)
    assert len(log.read()) == 1
    with path.open("ab") as file:
        file.write(text[40:])
    assert len(log.read()) == 1
    assert log.read() == []
    log.close()


def test_the_policy_writes_down_all_of_contenders_and_the_writes_of_people() -> None:
    rules = json.loads(policy(["luntra"], ["person"]))["rules"]
    assert [rule.get("users") for rule in rules] == [["luntra"], ["luntra"], ["luntra"], ["person"], None]
    assert "verbs" not in rules[2]
    assert "get" not in rules[3]["verbs"]
    assert rules[-1]["level"] == "None"


def test_the_journal_keeps_weights_and_statuses_by_object(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    status = {"resource": "modeldeployments", "subresource": "status", "namespace": "bench", "name": "model"}
    lines = [
        line(responseObject=route(a=100)),
        line(responseObject=route(a=0), responseStatus={"code": 409}),
        line(user="person"),
        line("update", objectRef=status, requestObject={"status": {"phase": "Stable"}}),
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    journal = Journal(path)
    journal.read()
    assert [one.weights for one in journal.routes["bench", "model"]] == [{"a": 100}]
    assert journal.statuses["bench", "model"] == {"phase": "Stable"}
    journal.forget("luntra")
    assert [one.user for one in journal.requests] == ["person"]
    journal.close()


def test_a_route_that_is_created_has_its_name_in_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    target = {"resource": "httproutes", "namespace": "bench"}
    path.write_bytes(line("create", objectRef=target, responseObject=route(a=100)) + b"\n")
    journal = Journal(path)
    journal.read()
    assert list(journal.routes) == [("bench", "model")]
    journal.close()


def test_requests_are_told_apart_by_namespace_and_counted_by_kind() -> None:
    lease = {"resource": "leases", "namespace": "default", "name": "operator"}
    found = [parse(one) for one in (line("get"), line("get"), line("update", objectRef=lease), line("list"))]
    requests = [one for one in found if one is not None]
    own, shared = split(requests, frozenset({"bench"}))
    assert (len(own), len(shared)) == (3, 1)
    assert kinds_of(own) == {"get httproutes": 2, "list httproutes": 1}
