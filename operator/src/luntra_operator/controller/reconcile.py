"""One reconciliation: read, plan, write the status, act, and say when to come back.

Level-triggered: the key is all that it is told. Whatever fails raises, and the queue tries again.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from luntra_operator.api.revision import revision_hash
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus
from luntra_operator.api.validation import InvalidSpecError, parse_spec
from luntra_operator.api.vocabulary import Phase, Reason
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, RefusedError, UnavailableError
from luntra_operator.rollout.actions import SelectWorkload, WriteRoute
from luntra_operator.rollout.conditions import refused
from luntra_operator.rollout.observed import Judgement
from luntra_operator.rollout.plan import plan
from luntra_operator.rollout.settle import follow
from luntra_operator.rollout.turn import Timers, Turn
from luntra_operator.workloads.merge import TemplateError

from .events import post
from .execute import Executor, Images
from .finalizer import farewell
from .fleet import Fleet
from .observe import Children, read_children, snapshot, trial
from .queue import Key
from .sampling import Trial
from .standin import stand_in, unread, with_fault

log = logging.getLogger(__name__)

REPORT_INTERVAL = 10.0
"""Least seconds between two writes of a status in which nothing was decided."""

REFUSED_RETRY = 30.0
"""Seconds until a write that the API server refused is tried again; quotas and permissions change."""

LONGEST_CONFLICT = 5.0
"""Seconds between two attempts at a write that meets a conflict every time."""

Object = dict[str, Any]


class DataPlane(Protocol):
    """Whoever can tell which revisions answer behind the gateway."""

    async def answers(self, namespace: str, model: str, spec: ModelDeploymentSpec) -> Mapping[str, int] | None:
        """Answers by revision of one look; None where nobody can be asked."""


class Analysis(Protocol):
    """Whoever judges the live traffic of versions; see `Sampling`."""

    @property
    def keys(self) -> set[Key]:
        """Those whose traffic is looked at."""

    def judgements(self, key: Key, trial: Trial) -> tuple[Judgement, ...]:
        """What is known now, one for each declared metric; `key` is to be woken when that changes."""

    def leave(self, key: Key) -> None:
        """Nobody asks for it any more."""


class Reconciler:
    """Reconciles ModelDeployments; stateless but for when each status was last written."""

    def __init__(
        self,
        kube: Kube,
        data_plane: DataPlane,
        images: Images,
        analysis: Analysis | None = None,
        fleet: Fleet | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        written: Callable[[ModelDeploymentStatus, ModelDeploymentStatus], None] = lambda *_: None,
        keys: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Work through `kube`; without `analysis` nobody judges live traffic, without `fleet` accelerators are not counted.

        `clock` tells the time in UTC; `written` hears of every status that was written, and of the one before. `keys` are
        the public keys that pods are to know, as a JWK set.
        """
        self._keys = keys
        self._written = written
        self._kube, self._data_plane, self._images, self._clock = kube, data_plane, images, clock
        self._analysis, self._fleet = analysis, fleet
        self._reported: dict[Key, datetime] = {}
        self._conflicts: dict[Key, int] = {}

    @property
    def remembered(self) -> set[Key]:
        """Keys of which something is kept until they are found gone."""
        held = self._fleet.ledger.accounts.keys() if self._fleet else set[Key]()
        watched = self._analysis.keys if self._analysis else set[Key]()
        return self._reported.keys() | self._conflicts.keys() | held | watched

    async def __call__(self, key: Key) -> float | None:
        """Reconcile one object; the seconds after which to do it again, None to wait for an event.

        Raises:
            KubeError: the API server could not be reached or refused a write; nothing is half decided.
        """
        owner = await self._kube.get(kinds.MODEL_DEPLOYMENT, *key)
        if owner is None or "deletionTimestamp" in owner["metadata"]:
            self._reported.pop(key, None)
            self._conflicts.pop(key, None)
            if self._analysis is not None:
                self._analysis.leave(key)
            # Garbage collection follows the owner references.
            again = await self._farewell(key, owner)
            return again if again is not None or self._fleet is None else await self._fleet.gone(key)
        status = ModelDeploymentStatus.model_validate(owner.get("status", {}))
        try:
            wish = await self._turn(key, owner, status)
        except ConflictError as error:
            log.debug("%s/%s has changed meanwhile, looking again: %s", *key, error)
            return self._patience(key)
        except InvalidSpecError as error:
            if self._fleet:
                self._fleet.step_aside(key)
            return await self._refuse(key, owner, status, Reason.INVALID_SPEC, str(error))
        except (RefusedError, TemplateError) as error:
            reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in str(error) else Reason.INVALID_SPEC
            latest = await self._kube.get(kinds.MODEL_DEPLOYMENT, *key)
            if latest is None:
                return None
            known = ModelDeploymentStatus.model_validate(latest.get("status", {}))
            again = REFUSED_RETRY if isinstance(error, RefusedError) else None
            return await self._refuse(key, latest, known, reason, str(error), again)
        self._conflicts.pop(key, None)
        return wish

    async def _farewell(self, key: Key, owner: Object | None) -> float | None:
        """Give back what a deleted object has borrowed."""
        if owner is None:
            return None
        try:
            await farewell(self._kube, owner)
        except ConflictError as error:
            log.debug("%s/%s or its route has changed meanwhile, looking again: %s", *key, error)
            return 0.2
        return None

    def _patience(self, key: Key) -> float:
        """Seconds until a conflict is looked at again: at once as a rule, but one that never ends must not busy the API server."""
        met = self._conflicts[key] = self._conflicts.get(key, 0) + 1
        wait: float = 0.05 * 2 ** min(met - 1, 10)
        return min(wait, LONGEST_CONFLICT)

    async def _turn(self, key: Key, owner: Object, status: ModelDeploymentStatus) -> float | None:
        spec, children, turn = await self._look(owner, status)
        turn = await self._ask_data_plane(owner, turn)
        turn, again = self._judge(key, owner, turn, children)
        recount = None
        if self._fleet is not None:
            grants, recount = await self._fleet.grants(key, owner, turn, children)
            turn = replace(turn, seen=replace(turn.seen, grants=grants))
        planned = plan(turn)
        executor = Executor(self._kube, self._images, owner, spec, children, planned.status.attempt, self._keys())
        try:
            postponed = await self._write_status(key, owner, status, planned.status)
        except (UnavailableError, RefusedError):
            if planned.urgent:  # traffic must leave a bad version even where that cannot be recorded yet
                moves = WriteRoute | SelectWorkload
                await executor.run(tuple(action for action in planned.actions if isinstance(action, moves)))
            raise
        try:
            await executor.run(planned.actions)
            if not spec.paused:
                await executor.hand_out_keys()
        finally:  # what was decided has happened, whether or not all of it could be carried out yet
            await post(self._kube, owner, planned, self._clock())
        wishes = (planned.requeue_after, postponed, again, recount)
        return min((wish for wish in wishes if wish is not None), default=None)

    async def _look(self, owner: Object, status: ModelDeploymentStatus) -> tuple[ModelDeploymentSpec, Children, Turn]:
        """What a turn is made from: the spec, or what stands in for one that cannot be read, and everything live."""
        fault: InvalidSpecError | None = None
        try:
            spec = parse_spec(owner["spec"])
        except InvalidSpecError as error:
            if status.stable is None and status.candidate is None:
                raise
            fault = error
            spec = unread(owner)
        children = await read_children(self._kube, owner, spec)
        if fault is None:
            seen = snapshot(owner, spec, status, children)
            return spec, children, Turn(spec, status, seen, revision_hash(spec), self._clock())
        found = stand_in(owner, status, children)
        if found is None:
            raise fault
        spec, revision = found
        seen = with_fault(snapshot(owner, spec, status, children), str(fault))
        return spec, children, Turn(spec, status, seen, revision, self._clock())

    def _judge(self, key: Key, owner: Object, turn: Turn, children: Children) -> tuple[Turn, float | None]:
        """What is known of the live traffic while a new version gets some of it, or all of it beside the warm old one.

        It is looked at from just before, so that the first request is counted.
        """
        status = turn.status
        begun = status.step is not None or status.phase in (Phase.SHIFTING, Phase.SOAKING)
        if self._analysis is None:
            return turn, None
        if status.withdrawal is not None or status.stable is None or not begun:
            self._analysis.leave(key)
            return turn, None
        judgements = self._analysis.judgements(key, trial(owner, turn.spec, status, children))
        if not judgements or (status.step is None and status.phase is Phase.SHIFTING):
            return turn, None
        return replace(turn, seen=replace(turn.seen, judgements=judgements)), REPORT_INTERVAL

    async def _ask_data_plane(self, owner: Object, turn: Turn) -> Turn:
        """Look at the gateway's answers, but only when a weight waits for just that."""
        traffic = follow(turn, Timers(settle_fallback=float("inf")))
        route = turn.seen.route
        waiting = traffic is not None and traffic.observed != traffic.desired and traffic.written == traffic.desired
        if not waiting or route is None or not route.current:
            return turn
        model = turn.spec.model.name or owner["metadata"]["name"]
        answers = await self._data_plane.answers(owner["metadata"]["namespace"], model, turn.spec)
        return replace(turn, seen=replace(turn.seen, answers=answers))

    async def _write_status(
        self, key: Key, owner: Object, before: ModelDeploymentStatus, after: ModelDeploymentStatus
    ) -> float | None:
        """Write a changed status; the seconds until it is worth it, where nothing was decided a moment ago."""
        if after == before:
            return None
        now = self._clock()
        last = self._reported.get(key)
        if last and _decisions(after) == _decisions(before):
            remaining = REPORT_INTERVAL - (now - last).total_seconds()
            if remaining > 0:
                return remaining
        body = {**owner, "status": after.model_dump(by_alias=True, exclude_none=True, mode="json")}
        written = await self._kube.replace_status(kinds.MODEL_DEPLOYMENT, body)
        owner["metadata"]["resourceVersion"] = written["metadata"]["resourceVersion"]
        self._reported[key] = now
        self._written(before, after)
        return None

    async def _refuse(
        self,
        key: Key,
        owner: Object,
        status: ModelDeploymentStatus,
        reason: Reason,
        message: str,
        again: float | None = None,
    ) -> float | None:
        """Say in the conditions that nothing can be done; what serves goes on serving.

        A spec changes by an event; only what the API server refused is tried again, after `again` seconds.
        """
        log.warning("%s/%s: %s: %s", *key, reason, message)
        generation = owner["metadata"]["generation"]
        after = status.model_copy(
            update={
                "observed_generation": generation,
                "conditions": refused(status.conditions, generation, reason, message, self._clock()),
            }
        )
        try:
            postponed = await self._write_status(key, owner, status, after)
        except ConflictError:
            return self._patience(key)
        self._conflicts.pop(key, None)
        return postponed if again is None else again


def _decisions(status: ModelDeploymentStatus) -> dict[str, Any]:
    """The status without what is only reported."""
    metrics = [(one.name, one.verdict) for one in status.metrics]
    reported = {"replicas": 0, "selector": "", "conditions": _verdicts(status), "metrics": metrics}
    versions = {role: getattr(status, role) for role in ("stable", "candidate", "previous")}
    uncounted = {role: {**vars(one), "ready_replicas": 0} if one else None for role, one in versions.items()}
    return {**vars(status), **reported, **uncounted}


def _verdicts(status: ModelDeploymentStatus) -> list[tuple[str, str, str]]:
    return [(one.type, one.status, one.reason) for one in status.conditions]
