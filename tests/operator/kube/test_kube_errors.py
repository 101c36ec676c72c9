"""What an answer of the API server means, and where its kinds live."""

import json

import pytest

from luntra_operator.kube import kinds
from luntra_operator.kube.errors import (
    ConflictError,
    KindMissingError,
    KubeError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    UnavailableError,
    from_response,
)

# As kube-apiserver 1.36 says it.
RBAC = 'pods is forbidden: User "system:serviceaccount:a:luntra" cannot list resource "pods" in API group "" in the namespace "a"'


def answer(reason: str = "", message: str = "words", causes: list[object] | None = None) -> str:
    details = {"details": {"causes": causes}} if causes is not None else {}
    return json.dumps({"kind": "Status", "reason": reason, "message": message, **details})


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, answer("NotFound"), NotFoundError),
        (404, "404 page not found\n", KindMissingError),
        (404, "", KindMissingError),
        (409, answer("Conflict"), ConflictError),
        (409, answer("AlreadyExists"), ConflictError),
        # As kube-apiserver 1.34 says it when a JSON Patch `test` does not hold.
        (422, answer("Invalid", "the server rejected our request due to an error in our request"), ConflictError),
        (422, answer("Invalid", causes=[{"reason": "FieldValueInvalid", "field": "spec.x"}]), RefusedError),
        (400, answer("BadRequest"), RefusedError),
        (401, answer("Unauthorized"), NotPermittedError),
        (403, answer("Forbidden", RBAC), NotPermittedError),
        (403, answer("Forbidden", "exceeded quota: small"), RefusedError),
        (405, answer(), RefusedError),
        (413, answer(), RefusedError),
        (415, answer(), RefusedError),
        (429, answer("TooManyRequests"), UnavailableError),
        (500, answer("InternalError"), UnavailableError),
        (503, "no healthy upstream", UnavailableError),
        (504, "", UnavailableError),
    ],
)
def test_answer_is_classified_by_what_a_caller_does_about_it(status: int, body: str, expected: type[KubeError]) -> None:
    assert type(from_response("GET /x", status, body)) is expected


def test_message_tells_request_words_and_code() -> None:
    assert str(from_response("PUT /x", 409, answer(message="it changed"))) == "PUT /x: it changed (409)"
    assert str(from_response("GET /x", 503, "<html>" + "x" * 1000)).endswith("xxx (503)")
    assert len(str(from_response("GET /x", 503, "x" * 1000))) < 330
    assert "no message (500)" in str(from_response("GET /x", 500, ""))


def test_paths_of_core_and_grouped_kinds() -> None:
    assert kinds.POD.path("team-a") == "/api/v1/namespaces/team-a/pods"
    assert kinds.POD.path("team-a", "digits") == "/api/v1/namespaces/team-a/pods/digits"
    assert kinds.DEPLOYMENT.path(None) == "/apis/apps/v1/deployments"
    assert (
        kinds.MODEL_DEPLOYMENT.path("team-a", "digits", "status")
        == "/apis/luntra.io/v1alpha1/namespaces/team-a/modeldeployments/digits/status"
    )
    assert (kinds.POD.api_version, kinds.JOB.api_version) == ("v1", "batch/v1")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (kinds.POD.path("team-a"), ("team-a", "pods", None)),
        (kinds.POD.path(None), (None, "pods", None)),
        (kinds.MODEL_DEPLOYMENT.path("team-a", "digits", "status"), ("team-a", "modeldeployments", "digits")),
        ("/apis/apps/v1/deployments", (None, "deployments", None)),
        ("/api/v1/namespaces", (None, "namespaces", None)),
        ("/api/v1/namespaces/team-a", (None, "namespaces", "team-a")),
        ("/version", (None, "", None)),
        ("/apis", (None, "", None)),
    ],
)
def test_path_tells_what_it_names(path: str, expected: tuple[str | None, str, str | None]) -> None:
    assert kinds.place(path) == expected
