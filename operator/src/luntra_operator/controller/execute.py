"""Carry out a plan's actions: render the objects and write them."""

import contextlib
import logging
from dataclasses import dataclass, replace
from typing import Any

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import LABEL_WORKLOAD
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, KubeError, NotFoundError, RefusedError
from luntra_operator.rollout import actions
from luntra_operator.rollout.actions import Action
from luntra_operator.traffic import routes
from luntra_operator.traffic.provider import Create, Delete, Patch, Write
from luntra_operator.workloads import serving
from luntra_operator.workloads.check_job import check_job
from luntra_operator.workloads.naming import check_names, revision_name
from luntra_operator.workloads.revision import Revision, controller_revision, read_revision

from . import finalizer
from .observe import Children, endpoint

log = logging.getLogger(__name__)

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Images:
    """Images that the operator is configured with."""

    serving: str
    checks: str


class Executor:
    """Writes for one ModelDeployment, based on what was read of it in the same turn."""

    def __init__(
        self,
        kube: Kube,
        images: Images,
        owner: Object,
        spec: ModelDeploymentSpec,
        children: Children,
        attempt: int,
        keys: str | None = None,
    ) -> None:
        """Work on `owner`; nothing is written before `run`. `keys` are the public ones that pods are to know."""
        self._keys = keys
        self._kube, self._images = kube, images
        self._owner, self._spec, self._children, self._attempt = owner, spec, children, attempt
        self._namespace, self._name = owner["metadata"]["namespace"], owner["metadata"]["name"]
        self._revisions: dict[str, Revision] = dict(children.revisions)
        self._endpoint = endpoint(owner, spec, children)

    async def run(self, planned: tuple[Action, ...]) -> None:
        """Do one action after the other; the first failure ends it and the next turn plans anew.

        Raises:
            KubeError: a write failed.
            TemplateError: the podTemplate is refused.
        """
        for action in planned:
            log.info("%s/%s: %s", self._namespace, self._name, action)
            await self._do(action)

    async def hand_out_keys(self) -> None:
        """Bring today's public keys to workloads that have others; their pods read them without a restart.

        Raises:
            KubeError: a write failed.
        """
        for child in self._children.config_maps:
            if self._keys is None or child.get("data", {}).get(serving.KEYS) == self._keys:
                continue
            change = {"data": {serving.KEYS: self._keys}}
            with contextlib.suppress(NotFoundError):  # the workload was deleted a moment ago, perhaps by ourselves
                await self._kube.merge(kinds.CONFIG_MAP, self._namespace, child["metadata"]["name"], change)

    async def _do(self, action: Action) -> None:  # noqa: C901 - one branch per action
        match action:
            case actions.KeepRevision():
                await self._keep_revision(action)
            case actions.ForgetRevision():
                name = revision_name(self._name, action.revision)
                await self._kube.delete(kinds.CONTROLLER_REVISION, self._namespace, name)
            case actions.CreateWorkload():
                await self._create_workload(action)
            case actions.ScaleWorkload():
                change = {"spec": {"replicas": action.replicas}}
                await self._kube.merge(kinds.DEPLOYMENT, self._namespace, action.workload, change)
            case actions.ProtectWorkload():
                await self._protect(action)
            case actions.DeleteWorkload():
                await self._delete_workload(action.workload)
            case actions.SelectWorkload():
                await self._select(action.workload)
            case actions.WriteRoute():
                to = replace(self._endpoint, preview=action.preview)
                await self._move(routes.write(to, self._children.routes, action.weights, action.intent, action.frame))
            case actions.ParkRoute():
                await self._move(routes.remove(self._endpoint, self._children.routes))
            case actions.DeleteRoute():
                await self._move(routes.delete_parked(self._endpoint, self._children.routes))
            case actions.GiveRouteBack():
                await self._move(routes.give_back(self._endpoint, self._children.routes))
            case actions.HoldObject():
                await finalizer.add(self._kube, self._owner)
            case actions.ReleaseObject():
                await finalizer.remove(self._kube, self._owner)
            case actions.RunCheck():
                await self._run_check(action)

    async def _keep_revision(self, action: actions.KeepRevision) -> None:
        body = controller_revision(self._owner, self._spec, action.revision, self._attempt, self._images.serving)
        try:
            stored = await self._kube.create(kinds.CONTROLLER_REVISION, body)
        except ConflictError:  # an earlier turn stored it; what is stored counts, not today's settings
            found = await self._kube.get(kinds.CONTROLLER_REVISION, self._namespace, body["metadata"]["name"])
            stored = found or body
        self._revisions[action.revision] = read_revision(stored)

    async def _create_workload(self, action: actions.CreateWorkload) -> None:
        revision = self._revisions.get(action.revision)
        if revision is None:
            raise RefusedError(
                f"ControllerRevision {self._name}-{action.revision} is gone, so {action.workload} cannot be rendered; "
                "set spec.model back to that version or to a new one"
            )
        # The Deployment last: its pods mount the ConfigMap. What exists is left as it is: an operator that
        # renders differently than the one before must change no pod.
        wanted = (
            (
                kinds.CONFIG_MAP,
                self._children.config_maps,
                serving.config_map(self._owner, action.workload, revision, self._keys),
            ),
            (kinds.SERVICE, self._children.services, serving.service(self._owner, action.workload)),
            (
                kinds.DEPLOYMENT,
                self._children.deployments,
                serving.deployment(
                    self._owner, action.workload, revision, action.replicas, keys=self._keys is not None
                ),
            ),
        )
        for kind, present, body in wanted:
            if all(child["metadata"]["name"] != action.workload for child in present):
                await self._kube.apply(kind, body)

    async def _protect(self, action: actions.ProtectWorkload) -> None:
        if action.protected:
            body = serving.disruption_budget(self._owner, action.workload)
            await self._kube.apply(kinds.POD_DISRUPTION_BUDGET, body)
        else:
            await self._kube.delete(kinds.POD_DISRUPTION_BUDGET, self._namespace, action.workload)

    async def _delete_workload(self, workload: str) -> None:
        jobs = {job["metadata"]["name"] for job in self._children.jobs}
        for job in sorted(jobs & check_names(workload).keys()):
            await self._kube.delete(kinds.JOB, self._namespace, job)
        for kind in (kinds.DEPLOYMENT, kinds.SERVICE, kinds.CONFIG_MAP, kinds.POD_DISRUPTION_BUDGET):
            await self._kube.delete(kind, self._namespace, workload)

    async def _select(self, workload: str) -> None:
        present = any(service["metadata"]["name"] == self._name for service in self._children.services)
        if present:
            change = [{"op": "add", "path": "/spec/selector", "value": {LABEL_WORKLOAD: workload}}]
            await self._kube.patch(kinds.SERVICE, self._namespace, self._name, change)
        else:
            await self._kube.create(kinds.SERVICE, serving.stable_service(self._owner, workload))

    async def _move(self, writes: tuple[Write, ...]) -> None:
        """Try each write: an object that cannot be written must not keep traffic on a version in another one."""
        failures: list[KubeError] = []
        for write in writes:
            try:
                await self._write(write)
            except KubeError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def _write(self, write: Write) -> None:
        match write:
            case Create():
                await self._kube.create(write.kind, write.body)
            case Patch():
                await self._kube.patch(write.ref.kind, self._namespace, write.ref.name, write.operations)
            case Delete():
                await self._kube.delete(write.ref.kind, self._namespace, write.ref.name)

    async def _run_check(self, action: actions.RunCheck) -> None:
        job = check_job(
            self._owner, self._spec, action.check, action.workload, action.stable, self._images.checks, action.attempt
        )
        await self._kube.apply(kinds.JOB, job)
