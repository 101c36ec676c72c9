"""Events: what `kubectl describe` tells of a ModelDeployment, each transition once."""

import hashlib
import logging
from datetime import datetime
from typing import Any

from luntra_operator.api.vocabulary import API_VERSION, FIELD_MANAGER, KIND
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, KubeError
from luntra_operator.rollout.actions import Event, Plan

log = logging.getLogger(__name__)

Object = dict[str, Any]


async def post(kube: Kube, owner: Object, planned: Plan, now: datetime) -> None:
    """Write the events of a turn; one that cannot be written is logged and given up, for it decides nothing."""
    for event in planned.events:
        try:
            await kube.create(kinds.EVENT, event_object(owner, event, planned.status.attempt, now))
        except ConflictError:
            continue  # the same transition was announced before a restart
        except KubeError as error:
            log.warning("event %s of %s could not be written: %s", event.reason, owner["metadata"]["name"], error)


def event_object(owner: Object, event: Event, attempt: int, now: datetime) -> Object:
    """A core/v1 Event; its name is a hash of the transition, so that a repeated turn announces it once."""
    meta = owner["metadata"]
    identity = f"{meta['uid']}/{attempt}/{event.reason}/{event.message}"
    moment = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta['name']}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}",
            "namespace": meta["namespace"],
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "type": event.type,
        "reason": str(event.reason),
        "message": event.message[:1024],
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
