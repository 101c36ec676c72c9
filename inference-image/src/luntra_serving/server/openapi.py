"""The management port described as OpenAPI 3.1, generated: `python -m luntra_serving.server.openapi`.

The models say what goes over the wire; the tests hold the real answers against them. The committed copy is
openapi/management.json, for whoever writes a client.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from luntra_serving import __version__
from luntra_serving.server.document import Document
from luntra_serving.server.feedback import MOST, FeedbackEntry
from luntra_serving.swap.events import Kind
from luntra_serving.swap.states import Stage, State


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ResidentBytes(_Answer):
    """What a version takes in memory, as it was measured when it was loaded."""

    host: int
    device: int


class VersionState(_Answer):
    """What is known about one version."""

    version: str
    revision: str | None
    digest: str
    uri: str | None = Field(description="Null for a version that the document no longer names; without password.")
    state: State
    stage: Stage | None = Field(description="The stage of its load that is under way.")
    reason: str | None = Field(description="Why it failed, or why its load takes longer, in one word.")
    message: str | None
    inFlight: int
    residentBytes: ResidentBytes | None = Field(description="Null unless it is in memory.")
    loadSeconds: dict[str, float]


class ModelState(_Answer):
    """The model as this process serves it."""

    name: str
    observedGeneration: int = Field(description="Generation of the document that is followed.")
    ready: bool
    draining: bool
    stable: str | None = Field(description="Version that answers.")
    candidate: str | None
    weight: int = Field(description="Percent of the requests that the candidate gets.")
    shadow: int = Field(description="Percent of the stable version's requests of which the candidate gets copies.")
    epoch: int = Field(description="Grows with each change of the route.")
    sessions: int = Field(description="Sessions that stay with the version on which they began.")
    versions: list[VersionState]


class Models(_Answer):
    """Every model of this process."""

    models: list[ModelState]


class Refusal(_Answer):
    """Why a request was refused."""

    error: str


class Stale(ModelState):
    """The document is older than the one that is followed, or another one of the same generation; and the state."""

    error: str


class Latency(_Answer):
    """A histogram."""

    count: int
    sumSeconds: float
    buckets: list[tuple[float | None, int]] = Field(
        description="Upper bound in seconds (null: none) and requests up to it."
    )


class VersionStatistics(_Answer):
    """Requests of one version; nothing goes down in one instance, but requests in flight."""

    version: str
    revision: str | None
    digest: str
    since: float | None = Field(description="Its first request in this process, in seconds since 1970; null before it.")
    requests: int = Field(description="Those that have ended, whatever came of them.")
    inFlight: int
    codes: dict[str, int] = Field(
        description="By HTTP status, over gRPC too. 429: shed, its queue was full; 499: the client left before its turn came."
    )
    queueSeconds: float = Field(description="What the requests with a result waited before they ran, in sum.")
    executions: int = Field(description="Runs of the model that gave these results; what ran together shares one.")
    latency: Latency


class FeedbackCounts(_Answer):
    """What this process was told of the answers of one revision."""

    count: int
    labelled: int = Field(description="Those that were right or wrong; the others had a reward.")
    correct: int
    rewardSum: float = Field(description="Of all, from 0 to 1 each; right is 1, wrong is 0.")
    rewardSquares: float


class FeedbackTaken(_Answer):
    """How many entries were counted, and how many were not, because their id had come before."""

    counted: int
    repeated: int


class ModelStatistics(_Answer):
    """What the versions of a model did in this process, for clients and with copies of requests, since it started."""

    name: str
    instance: str = Field(description="Another one: the process was started anew, and all counters began at 0 again.")
    startedAt: float = Field(description="Seconds since 1970, by the pod's clock; so are `at` and `since`.")
    at: float = Field(description="The time of this answer.")
    draining: bool
    versions: list[VersionStatistics] = Field(description="All in memory, and those that had requests before.")
    shadow: list[VersionStatistics] = Field(description="Copies of requests that candidates got.")
    feedback: dict[str, FeedbackCounts] = Field(
        description="By the revision in the answers' ids, whichever pod gave them; the 64 of which something was said last."
    )


class Transition(BaseModel):
    """One event; further fields belong to its kind."""

    model_config = ConfigDict(extra="allow")

    number: int
    at: float = Field(description="Seconds since 1970.")
    model: str
    version: str
    revision: str | None
    digest: str
    event: Kind


class Transitions(_Answer):
    """The last transitions, oldest first."""

    events: list[Transition]


def openapi() -> dict[str, Any]:
    """The description as a JSON document."""
    models: list[type[BaseModel]] = [
        Document, FeedbackEntry, FeedbackTaken, Models, ModelState, Stale, ModelStatistics, Transitions, Refusal,
    ]  # fmt: skip
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    since = {"name": "since", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 0}}
    body = {"required": True, "content": {"application/json": {"schema": _reference(Document)}}}
    entry = _reference(FeedbackEntry)
    entries = {"oneOf": [entry, {"type": "array", "items": entry, "maxItems": MOST}]}
    state = {"200": _answers(ModelState), "404": _answers(Refusal)}
    added = {"200": _answers(ModelState), "201": _answers(ModelState)}
    refused = {"403": _answers(Refusal), "409": _answers(Stale), "413": _answers(Refusal), "422": _answers(Refusal)}
    gone = {"204": {"description": "It is gone"}, **dict.fromkeys(["403", "404", "409"], _answers(Refusal))}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Luntra model server, management port", "version": __version__},
        "paths": {
            "/v1/models": {
                "get": {"summary": "The state of every model", "responses": {"200": _answers(Models)}},
            },
            "/v1/models/{name}": {
                "get": {"summary": "The state of the model", "parameters": [name], "responses": state},
                "put": {
                    "summary": "A document to follow; the first one of a model adds it",
                    "parameters": [name],
                    "requestBody": body,
                    "responses": {**added, **refused},
                },
                "delete": {
                    "summary": "Remove a model that was added; not one that the process was started for",
                    "parameters": [name],
                    "responses": gone,
                },
            },
            "/v1/models/{name}/stats": {
                "get": {
                    "summary": "Requests of each version",
                    "parameters": [name],
                    "responses": {"200": _answers(ModelStatistics), "404": _answers(Refusal)},
                }
            },
            "/v2/models/{name}/feedback": {
                "post": {
                    "summary": "What became of answers, with the bearer token of --feedback-token-file",
                    "parameters": [name],
                    "requestBody": {"required": True, "content": {"application/json": {"schema": entries}}},
                    "responses": {
                        "200": _answers(FeedbackTaken),
                        **dict.fromkeys(["403", "404", "413", "422"], _answers(Refusal)),
                    },
                }
            },
            "/v1/events": {
                "get": {
                    "summary": "Transitions after a number",
                    "parameters": [since],
                    "responses": {"200": _answers(Transitions), "400": _answers(Refusal)},
                }
            },
            "/metrics": {
                "get": {
                    "summary": "Metrics in the Prometheus text format",
                    "responses": {"200": {"description": "Metrics"}},
                }
            },
        },
        "components": {"schemas": schemas["$defs"]},
    }


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _answers(model: type[BaseModel]) -> dict[str, Any]:
    return {
        "description": (model.__doc__ or "").strip().split("\n", maxsplit=1)[0],
        "content": {"application/json": {"schema": _reference(model)}},
    }


if __name__ == "__main__":
    print(json.dumps(openapi(), indent=2))
