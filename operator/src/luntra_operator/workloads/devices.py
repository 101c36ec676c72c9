"""How many units of an extended resource a pod holds: its effective request, as the scheduler and quotas count it.

The rule is Kubernetes' (Effective Pod requests and limits, in its documentation): what the containers and the sidecars want
together, or more if an init container wants more beside the sidecars that were started before it. An extended resource is
never overcommitted, so a limit is a request too. Pod-level resources and overhead have no extended ones.
"""

from decimal import ROUND_CEILING, Decimal
from typing import Any

from luntra_operator.api.quantities import canonical_quantity


def devices(pod: dict[str, Any], resource: str) -> int:
    """Whole units for a pod's `spec`.

    Raises:
        ValueError: a quantity is none.
    """
    sidecars = highest = 0
    for container in pod.get("initContainers") or []:
        wanted = _wanted(container, resource)
        highest = max(highest, sidecars + wanted)
        if container.get("restartPolicy") == "Always":
            sidecars += wanted
    return max(highest, sidecars + sum(_wanted(container, resource) for container in pod.get("containers") or []))


def _wanted(container: dict[str, Any], resource: str) -> int:
    declared = container.get("resources") or {}
    for kind in ("requests", "limits"):
        value = (declared.get(kind) or {}).get(resource)
        if value is not None:
            return int(Decimal(canonical_quantity(value)).to_integral_value(ROUND_CEILING))
    return 0
