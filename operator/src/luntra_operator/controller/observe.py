"""Read everything that belongs to one ModelDeployment, live and in parallel, into one snapshot."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus, VersionStatus
from luntra_operator.api.vocabulary import (
    ANNOTATION_ABORT,
    ANNOTATION_APPROVE,
    ANNOTATION_RETRY,
    FINALIZER_ADOPTED,
    LABEL_DEPLOYMENT,
    LABEL_REVISION,
    LABEL_WORKLOAD,
    Reason,
)
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import KindMissingError
from luntra_operator.rollout.observed import Intents, Observed, Parked, Problem, Route
from luntra_operator.traffic import routes
from luntra_operator.traffic.adopted import homed, returning
from luntra_operator.traffic.loan import loans
from luntra_operator.traffic.provider import Endpoint, Found, Obstacle, Ref
from luntra_operator.workloads.naming import metadata, ordinal, owned_by
from luntra_operator.workloads.revision import Revision, read_revision
from luntra_operator.workloads.serving import refusal

from . import readers
from .check_runs import check_runs
from .sampling import Trial

Object = dict[str, Any]

_OWNED = (
    kinds.CONTROLLER_REVISION,
    kinds.DEPLOYMENT,
    kinds.SERVICE,
    kinds.CONFIG_MAP,
    kinds.POD_DISRUPTION_BUDGET,
    kinds.JOB,
)


@dataclass(frozen=True, slots=True)
class Children:
    """Live objects of one ModelDeployment, as read; `routes` may hold somebody else's objects of the same name.

    `taken` are the names of workloads that must not be used again: also those that a deleted object of this name left
    to garbage collection, whose pods would pass for new ones of another version. `lent` are names of HTTPRoutes of the user's.
    """

    revisions: dict[str, Revision]
    deployments: list[Object]
    services: list[Object]
    config_maps: list[Object]
    budgets: list[Object]
    pods: list[Object]
    slices: list[Object]
    jobs: list[Object]
    routes: Found
    lent: tuple[str, ...]
    taken: frozenset[str]


async def read_children(kube: Kube, owner: Object, spec: ModelDeploymentSpec) -> Children:
    """All children of `owner`, and what splits its traffic.

    Raises:
        KubeError: one of the reads failed; a snapshot is whole or there is none.
    """
    name, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    selector = f"{LABEL_DEPLOYMENT}={name}"

    async def route(ref: Ref) -> list[tuple[Ref, Object | None]]:
        try:
            return [(ref, await kube.get(ref.kind, namespace, ref.name))]
        except KindMissingError:
            return []

    lent = await lent_routes(kube, owner)
    labelled, main, found = await asyncio.gather(
        asyncio.gather(*(kube.list(kind, namespace, selector) for kind in (*_OWNED, kinds.POD, kinds.ENDPOINT_SLICE))),
        kube.get(kinds.SERVICE, namespace, name),
        asyncio.gather(*(route(ref) for ref in routes.refs(name, spec, lent))),
    )
    *mine, pods, slices = labelled
    revisions, deployments, services, config_maps, budgets, jobs = (
        [child for child in children if owned_by(owner, child)] for children in mine
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
        routes=dict(one for known in found for one in known),
        lent=lent,
        taken=frozenset(
            child["metadata"]["labels"].get(LABEL_WORKLOAD, "") for children in labelled for child in children
        ),
    )


def endpoint(owner: Object, spec: ModelDeploymentSpec, children: Children) -> Endpoint:
    """What providers of traffic are told of a ModelDeployment."""
    return Endpoint(metadata(owner, owner["metadata"]["name"]), spec, children.services, adopted=children.lent)


async def lent_routes(kube: Kube, owner: Object) -> tuple[str, ...]:
    """The HTTPRoutes of the user's that are lent; a status that was lost says none, but they say so themselves.

    Raises:
        KubeError: they could not be listed.
    """
    meta = owner["metadata"]
    known = tuple(owner.get("status", {}).get("adopted") or ())
    if known or FINALIZER_ADOPTED not in meta.get("finalizers", ()):
        return known
    try:
        found = await kube.list(kinds.HTTP_ROUTE, meta["namespace"])
    except KindMissingError:
        return ()
    return tuple(route["metadata"]["name"] for route in found if meta["name"] in loans(route))


def snapshot(owner: Object, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, children: Children) -> Observed:
    """What the engine sees of these objects."""
    name = owner["metadata"]["name"]
    versions = _versions(children)
    known = {version.workload for version in (status.stable, status.candidate, status.previous) if version}
    parts = (*children.deployments, *children.services, *children.config_maps, *children.budgets)
    names = ({child["metadata"]["name"] for child in parts} | known) - {name}
    main = next((child for child in children.services if child["metadata"]["name"] == name), None)
    reading = routes.read(endpoint(owner, spec, children), children.routes)
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
        route=_route(reading),
        parked=_parked(reading),
        missing=_problem(reading.missing),
        postponed=_problem(reading.postponed),
        unkept=_problem(reading.unkept),
        conflict=Problem(Reason.ROUTE_CONFLICT, reading.conflict, permanent=True) if reading.conflict else None,
        frame=reading.frame,
        service=_selected(main) if main else None,
        service_follows=main is None or readers.same_endpoints(children.slices, name, _selected(main)),
        borrowed=routes.borrowed(endpoint(owner, spec, children), children.routes),
        homed=homed(endpoint(owner, spec, children), children.routes),
        returning=returning(endpoint(owner, spec, children), children.routes),
        held=FINALIZER_ADOPTED in owner["metadata"].get("finalizers", ()),
        service_owned=main is None or owned_by(owner, main),
        checks=check_runs(children.jobs, children.pods, names),
        refusal=refusal(spec),
        intents=_intents(owner["metadata"].get("annotations", {})),
        highest_ordinal=max(map(ordinal, names | children.taken), default=0),
    )


def trial(owner: Object, spec: ModelDeploymentSpec, status: ModelDeploymentStatus, children: Children) -> Trial:
    """What is told of a version whose live traffic is judged."""
    meta = owner["metadata"]
    workloads = {version.workload for version in (status.candidate, status.stable) if version}
    pods = {workload: readers.addresses(children.pods, workload) for workload in workloads}
    return Trial(meta["uid"], meta["namespace"], meta["name"], spec, status, pods)


def _selected(service: Object) -> str | None:
    workload: str | None = service["spec"].get("selector", {}).get(LABEL_WORKLOAD)
    return workload


def _intents(annotations: Mapping[str, str]) -> Intents:
    return Intents(*(annotations.get(name) for name in (ANNOTATION_APPROVE, ANNOTATION_ABORT, ANNOTATION_RETRY)))


def _problem(obstacle: Obstacle | None) -> Problem | None:
    return Problem(obstacle.reason, obstacle.message, permanent=True) if obstacle else None


def _route(reading: routes.Reading) -> Route | None:
    state = reading.state
    if state is None:
        return None
    return Route(
        weights=state.weights,
        intent=state.intent,
        frame=state.frame,
        current=state.current,
        message=state.message,
        widened=state.widened,
        agreed=reading.agreed,
        preview=state.preview,
    )


def _parked(reading: routes.Reading) -> Parked | None:
    states = reading.parked.values()
    named = {name for state in states for name in (*state.weights, state.preview) if name}
    read = all(state.current for state in states)
    return Parked(frozenset(reading.parked), frozenset(named), read) if reading.parked else None


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
