"""What each transition of a version says in the log and in the metrics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from luntra_serving.swap.events import Event, Kind

if TYPE_CHECKING:
    from luntra_serving.telemetry.metrics import ServingMetrics

_log = logging.getLogger(__name__)

_MESSAGES = {
    Kind.READY: "version is ready",
    Kind.FAILED: "version could not be loaded; what serves goes on serving",
    Kind.SUPERSEDED: "version was not wanted any more before it was ready",
    Kind.PROMOTED: "version answers all requests from now on",
    Kind.WEIGHTED: "version answers its share of the requests from now on",
    Kind.ROLLED_BACK: "version answers again",
    Kind.RETIRED: "version gets no new requests",
    Kind.RESURRECTED: "version is wanted again before it was gone",
    Kind.STUCK: "version is still held by requests; it stays in memory until they end",
    Kind.RECLAIMED: "version is out of memory",
}
_WORRYING = frozenset({Kind.FAILED, Kind.STUCK})


def report(event: Event, metrics: ServingMetrics) -> None:
    """Log one transition as a structured line, and count it."""
    identity = event.identity
    if event.kind is Kind.STAGE:
        metrics.loaded(event.model, identity.version, str(event.detail["stage"]), float(str(event.detail["seconds"])))
        return
    metrics.transition(event.model, event.kind)
    message = _MESSAGES.get(event.kind)
    if message is not None:
        fields = {"model": event.model, "version": identity.version, "digest": identity.digest, **event.detail}
        if "message" in fields:  # the log's own word
            fields["why"] = fields.pop("message")
        _log.log(logging.WARNING if event.kind in _WORRYING else logging.INFO, message, extra=fields)
