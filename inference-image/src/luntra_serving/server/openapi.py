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
from luntra_serving.swap.events import Kind
from luntra_serving.swap.states import State


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class VersionState(_Answer):
    """What is known about one version."""

    version: str
    revision: str | None
    digest: str
    uri: str | None = Field(description="Null for a version that the document no longer names; without password.")
    state: State
    stage: str | None = Field(description="The stage of its load that is under way.")
    reason: str | None = Field(description="Why it failed, or why its load takes longer, in one word.")
    message: str | None
    inFlight: int  # noqa: N815 - the wire's spelling
    loadSeconds: dict[str, float]  # noqa: N815 - the wire's spelling


class ModelState(_Answer):
    """The model as this process serves it."""

    name: str
    observedGeneration: int = Field(description="Generation of the document that is followed.")  # noqa: N815
    ready: bool
    draining: bool
    stable: str | None = Field(description="Version that answers.")
    candidate: str | None
    weight: int = Field(description="Percent of the requests that the candidate gets.")
    epoch: int = Field(description="Grows with each change of the route.")
    versions: list[VersionState]


class Refusal(_Answer):
    """Why a request was refused."""

    error: str


class Stale(ModelState):
    """The document is older than the one that is followed, or another one of the same generation; and the state."""

    error: str


class Latency(_Answer):
    """A histogram."""

    count: int
    sumSeconds: float  # noqa: N815 - the wire's spelling
    buckets: list[tuple[float | None, int]] = Field(
        description="Upper bound in seconds (null: none) and requests up to it."
    )


class VersionStatistics(_Answer):
    """Requests of one version; nothing goes down while it is in memory, but requests in flight."""

    requests: int
    inFlight: int  # noqa: N815 - the wire's spelling
    codes: dict[str, int]
    queueSeconds: float = Field(description="What the requests with a result waited before they ran, in sum.")  # noqa: N815
    executions: int = Field(description="Runs of the model that gave these results; what ran together shares one.")
    latency: Latency


class ModelStatistics(_Answer):
    """Statistics by version."""

    name: str
    versions: dict[str, VersionStatistics]


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
    models: list[type[BaseModel]] = [Document, ModelState, Stale, ModelStatistics, Transitions, Refusal]
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    since = {"name": "since", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 0}}
    body = {"required": True, "content": {"application/json": {"schema": _reference(Document)}}}
    state = {"200": _answers(ModelState), "404": _answers(Refusal)}
    refused = {"403": _answers(Refusal), "409": _answers(Stale), "413": _answers(Refusal), "422": _answers(Refusal)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Luntra model server, management port", "version": __version__},
        "paths": {
            "/v1/models/{name}": {
                "get": {"summary": "The state of the model", "parameters": [name], "responses": state},
                "put": {
                    "summary": "A document to follow",
                    "parameters": [name],
                    "requestBody": body,
                    "responses": {**state, **refused},
                },
            },
            "/v1/models/{name}/stats": {
                "get": {
                    "summary": "Requests of each version",
                    "parameters": [name],
                    "responses": {"200": _answers(ModelStatistics)},
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
