"""Read everything that belongs to one ModelDeployment, live and in parallel, into one snapshot."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus, VersionStatus
from luntra_operator.api.vocabulary import (
    ANNOTATION_ABORT,
    ANNOTATION_APPROVE,
    ANNOTATION_RETRY,
    LABEL_DEPLOYMENT,
    LABEL_REVISION,
    LABEL_WORKLOAD,
)
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import KindMissingError
from luntra_operator.rollout.observed import Intents, Observed, Route
from luntra_operator.traffic import httproute
from luntra_operator.workloads.naming import check_name, ordinal, owned_by
from luntra_operator.workloads.revision import Revision, read_revision
from luntra_operator.workloads.serving import refusal

from . import readers

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Children:
    """Live objects of one ModelDeployment, as read; `route` may be somebody else's object of the same name.

    `taken` are the names of workloads that must not be used again: also those that a deleted object of this name left
    to garbage collection, whose pods would pass for new ones of another version.
    """

    revisions: dict[str, Revision]
    deployments: list[Object]
    services: list[Object]
    config_maps: list[Object]
    budgets: list[Object]
    pods: list[Object]
    slices: list[Object]
    jobs: list[Object]
    route: Object | None
    route_api: bool
    taken: frozenset[str]


async def read_children(kube: Kube, owner: Object) -> Children:
    """All children of `owner`.

    Raises:
        KubeError: one of the reads failed; a snapshot is whole or there is none.
    """
    name, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    selector = f"{LABEL_DEPLOYMENT}={name}"
    labelled: list[Object] = []

    async def owned(kind: kinds.Kind) -> list[Object]:
        found = await kube.list(kind, namespace, selector)
        labelled.extend(found)
        return [child for child in found if owned_by(owner, child)]

    async def route() -> tuple[Object | None, bool]:
        try:
            return await kube.get(kinds.HTTP_ROUTE, namespace, name), True
        except KindMissingError:
            return None, False

    (
        (revisions, deployments, services, config_maps, budgets, jobs),
        (pods, slices, main, (found, api)),
    ) = await asyncio.gather(
        asyncio.gather(
            owned(kinds.CONTROLLER_REVISION),
            owned(kinds.DEPLOYMENT),
            owned(kinds.SERVICE),
            owned(kinds.CONFIG_MAP),
            owned(kinds.POD_DISRUPTION_BUDGET),
            owned(kinds.JOB),
        ),
        asyncio.gather(
            kube.list(kinds.POD, namespace, selector),
            kube.list(kinds.ENDPOINT_SLICE, namespace, selector),
            kube.get(kinds.SERVICE, namespace, name),
            route(),
        ),
    )
    named = [service for service in services if service["metadata"]["name"] != name]
    return Children(
        revisions={revision.hash: revision for revision in map(read_revision, revisions)},
        deployments=deployments,
        services=[*named, main] if main else named,
        config_maps=config_maps,
        budgets=budgets,
        pods=pods,
        slices=slices,
        jobs=jobs,
        route=found,
        route_api=api,
        taken=frozenset(child["metadata"]["labels"].get(LABEL_WORKLOAD, "") for child in (*labelled, *pods, *slices)),
    )


def our_backends(name: str, route: Object | None) -> frozenset[str]:
    """Backends of a route that are workloads of this object, whether they still exist or not."""
    pattern = re.compile(rf"{re.escape(name)}-w[1-9][0-9]*")
    rules = (route or {}).get("spec", {}).get("rules") or []
    refs = [ref["name"] for rule in rules for ref in rule.get("backendRefs") or []]
    return frozenset(ref for ref in refs if pattern.fullmatch(ref))


def snapshot(owner: Object, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, children: Children) -> Observed:
    """What the engine sees of these objects."""
    name = owner["metadata"]["name"]
    versions = _versions(children)
    known = {version.workload for version in (status.stable, status.candidate, status.previous) if version}
    names = {child["metadata"]["name"] for child in (*children.deployments, *children.config_maps)} | known
    names |= {child["metadata"]["name"] for child in children.services if child["metadata"]["name"] != name}
    main = next((child for child in children.services if child["metadata"]["name"] == name), None)
    jobs = {check_name(workload, check): workload for workload in names for check in ("evaluation", "benchmark")}
    return Observed(
        name=name,
        generation=owner["metadata"]["generation"],
        workloads=readers.workloads(
            names,
            children.deployments,
            children.services,
            children.config_maps,
            children.budgets,
            children.pods,
            children.slices,
        ),
        versions=versions,
        revisions=frozenset(children.revisions),
        route=_route(owner, children.route),
        route_api=children.route_api,
        frame=httproute.frame_hash(httproute.frame(spec.gateway, spec.model.name or name)) if spec.gateway else "",
        service=main["spec"].get("selector", {}).get(LABEL_WORKLOAD) if main else None,
        service_owned=main is None or owned_by(owner, main),
        checks=readers.check_runs(children.jobs, children.pods, jobs),
        refusal=refusal(spec),
        intents=_intents(owner["metadata"].get("annotations", {})),
        highest_ordinal=max(map(ordinal, names | children.taken), default=0),
    )


def _intents(annotations: Mapping[str, str]) -> Intents:
    return Intents(*(annotations.get(name) for name in (ANNOTATION_APPROVE, ANNOTATION_ABORT, ANNOTATION_RETRY)))


def _route(owner: Object, route: Object | None) -> Route | None:
    if route is None:
        return None
    state = httproute.read(route, our_backends(owner["metadata"]["name"], route))
    return Route(
        owned=owned_by(owner, route),
        weights=state.weights,
        intent=state.intent,
        frame=state.frame,
        current=state.current,
        message=state.message,
        widened=state.widened,
    )


def _versions(children: Children) -> dict[str, VersionStatus]:
    versions = {}
    for child in children.deployments:
        revision = children.revisions.get(child["metadata"]["labels"].get(LABEL_REVISION, ""))
        if revision is not None:
            workload = child["metadata"]["name"]
            versions[workload] = VersionStatus(
                revision=revision.hash, version=revision.model.version, digest=revision.model.digest, workload=workload
            )
    return versions
