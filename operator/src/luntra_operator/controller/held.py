"""What lives of workloads, counted in accelerators: pure, from Deployments, ReplicaSets and pods."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from luntra_operator.api.vocabulary import LABEL_DEPLOYMENT, LABEL_WORKLOAD
from luntra_operator.fleet.budget import Key
from luntra_operator.workloads.devices import devices

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """Units of one workload: `promised` by its controllers, used by `alive` pods, and by `ending` ones until they are gone.

    `behind`: its controllers have not yet acted on all that they were told.
    """

    promised: int = 0
    alive: int = 0
    ending: int = 0
    behind: bool = False

    @property
    def staying(self) -> int:
        """What it holds or is about to, without pods that end."""
        return max(self.promised, self.alive)


def held(
    resource: str, deployments: Iterable[Object], replica_sets: Iterable[Object], pods: Iterable[Object]
) -> dict[str, Held]:
    """What each workload of one namespace holds, by its name.

    Objects that the API server read in this order show all that there is: a ReplicaSet that is gone makes no more pods. In another
    order a pod that came in between may be missed, so what is less than before must have been read in this one.
    """
    deployments, replica_sets, pods = list(deployments), list(replica_sets), list(pods)
    names = {child["metadata"]["name"] for child in deployments}
    names |= {_workload(child) for child in (*replica_sets, *pods)}
    return {name: _held(resource, name, deployments, replica_sets, pods) for name in names - {""}}


def _held(resource: str, name: str, deployments: list[Object], replica_sets: list[Object], pods: list[Object]) -> Held:
    own = [child for child in deployments if child["metadata"]["name"] == name]
    sets = [child for child in replica_sets if _workload(child) == name]
    using = [pod for pod in pods if _workload(pod) == name and _uses(pod)]
    asked, made = (sum(_promised(resource, child) for child in children) for children in (own, sets))
    return Held(
        promised=max(asked, made),
        alive=sum(devices(pod["spec"], resource) for pod in using if not _ending(pod)),
        ending=sum(devices(pod["spec"], resource) for pod in using if _ending(pod)),
        behind=made > asked or not all(_settled(child) for child in (*own, *sets)),
    )


def _promised(resource: str, controller: Object) -> int:
    replicas: int = controller["spec"].get("replicas", 1)
    return replicas * devices(controller["spec"]["template"]["spec"], resource)


def _settled(controller: Object) -> bool:
    """Whether the controller has seen the present generation; one that has not may still be making pods of the one before."""
    seen: int = controller.get("status", {}).get("observedGeneration", 0)
    told: int = controller["metadata"].get("generation", 0)
    return seen >= told


def _uses(pod: Object) -> bool:
    """Whether the pod has its devices, or may get them: a finished one has given them back."""
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def _ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _workload(child: Object) -> str:
    name: str = child["metadata"].get("labels", {}).get(LABEL_WORKLOAD, "")
    return name


def labelled(children: Iterable[Object]) -> dict[Key, list[Object]]:
    """Children by the ModelDeployment that their label names."""
    found: dict[Key, list[Object]] = {}
    for child in children:
        meta = child["metadata"]
        found.setdefault((meta["namespace"], meta["labels"][LABEL_DEPLOYMENT]), []).append(child)
    return found
