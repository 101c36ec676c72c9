"""What the protocol's methods say about the server and its model. Pure functions from values to messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from luntra_serving import __version__
from luntra_serving.server.grpc import messages
from luntra_serving.server.protocol import response
from luntra_serving.swap.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from luntra_serving.server.model import ReadyModel
    from luntra_serving.swap.states import VersionStatus
    from luntra_serving.telemetry.stats import VersionStats

_INDEX_STATES = {
    State.LOADING: "LOADING",
    State.READY: "READY",
    State.RETIRED: "UNLOADING",
}
"""Our states -> the words of the repository index; what has ended is UNAVAILABLE."""


def server_metadata() -> Any:
    """Return the ServerMetadataResponse; it says what GET /v2 does."""
    return messages.ServerMetadataResponse(**json.loads(response.server_metadata(__version__)))


def model_metadata(name: str, version: str, model: ReadyModel) -> Any:
    """Return the ModelMetadataResponse; it says what GET /v2/models/{name} does."""
    described = response.model_metadata(name, version, model.loaded.platform, model.manifest.interface)
    return messages.ModelMetadataResponse(**json.loads(described))


def model_config(name: str, model: ReadyModel) -> Any:
    """Return the ModelConfigResponse."""
    manifest = model.manifest
    config = response.model_config(name, model.loaded.platform, manifest.backend.name, manifest.interface)
    return messages.ModelConfigResponse(config=config)


def model_statistics(versions: Iterable[tuple[str, str, VersionStats]]) -> Any:
    """Return the ModelStatisticsResponse about these models' versions."""
    return messages.ModelStatisticsResponse(**response.model_statistics(versions))


def repository_index(models: Mapping[str, Iterable[VersionStatus]], *, ready: bool) -> Any:
    """Return the RepositoryIndexResponse about the versions of these models, or about the `ready` ones alone.

    Why a version failed is told in one word: the whole message may name places that are none of a client's business.
    """
    entries = [
        {
            "name": name,
            "version": status.identity.version,
            "state": _INDEX_STATES.get(status.state, "UNAVAILABLE"),
            "reason": status.reason or "",
        }
        for name, statuses in models.items()
        for status in statuses
    ]
    return messages.RepositoryIndexResponse(models=[one for one in entries if not ready or one["state"] == "READY"])
