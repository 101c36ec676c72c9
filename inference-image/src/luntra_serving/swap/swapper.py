"""The swapper of one model: its versions, the route between them, and the only way to change either.

A request calls `acquire`, which takes no lock. Everybody else goes through the other methods, which take the swapper's
lock for some microseconds and never while something is loaded, closed or freed.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Generic

from .budget import NOTHING, Budget, DoesNotFitError, Reservation, Size
from .events import EventLog, Kind
from .ledger import Ledger
from .loading import Load, Loader, LoadFailedError, Steps, SupersededError, attempt
from .route import Route
from .states import State, VersionStatus
from .version import Handle, Identity, Model, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .reclaimer import Reclaimer


class NotServedError(LookupError):
    """No version of the model is ready."""


class NotResidentError(LookupError):
    """The version is not in memory: it has to be loaded first."""


class InUseError(RuntimeError):
    """The version is in the route: another one has to be promoted first."""


class Swapper(Generic[Model]):
    """Versions of one model.

    Args:
        model: the model's name, for events.
        close: gives back what a model holds; called once, on the reclaimer's thread, when nobody refers to it any more.
        reclaimer, budget, events: shared by all models of the process.
        keep: whether the version before stays resident after a promotion, so that a rollback is one store.
    """

    def __init__(
        self,
        model: str,
        *,
        close: Callable[[Model], None],
        reclaimer: Reclaimer,
        budget: Budget,
        events: EventLog,
        keep: bool = True,
    ) -> None:
        self.model = model
        self.events = events
        self.route: Route[Model] = Route()
        self._close, self._reclaimer, self._budget, self._keep = close, reclaimer, budget, keep
        self._lock = threading.RLock()
        self._resident: dict[Identity, Version[Model]] = {}
        self._reserved: dict[Identity, Reservation] = {}
        self._loads: dict[Identity, Load[Model]] = {}
        self._previous: Version[Model] | None = None
        self._ledger = Ledger(model, events)

    def acquire(self, session: str | None = None) -> Handle[Model]:
        """Hold the version that is to answer a request. Raises NotServedError."""
        while True:
            route = self.route
            version = route.stable if route.candidate is None else route.pick(session)
            if version is None:
                raise NotServedError(f"no version of {self.model} is ready")
            handle = version.hold()
            if handle is not None:
                return handle  # otherwise it was retired in the moment between, and the route names another one by now

    def acquire_named(self, version: str) -> Handle[Model]:
        """Hold the version of that name, if new requests may get it. Raises NotServedError."""
        route = self.route
        for named in (route.stable, route.candidate):
            if named is not None and named.identity.version == version:
                handle = named.hold()
                if handle is not None:
                    return handle
        served = ", ".join(repr(one.identity.version) for one in (route.stable, route.candidate) if one)
        raise NotServedError(f"version {version!r} of {self.model!r} is not served here; {served or 'nothing'} is")

    def load(self, identity: Identity, loader: Loader[Model], needed: Size = NOTHING) -> Load[Model]:
        """Bring a version into memory on a thread of its own, or join whoever does so already.

        `needed` is what it is expected to take. Where that does not fit, the version before the stable one is given up for
        it. Raises DoesNotFitError if it does not fit even so.
        """
        with self._lock:
            known = self._loads.get(identity)
            if known is not None:
                known.wanted = True
                return known
            load: Load[Model] = Load(identity)
            if identity in self._resident:
                self._resurrect(self._resident[identity])
                load.outcome.set_result(self._resident[identity])
                return load
            reservation = self._reserve(needed)
            self._loads[identity] = load
            self._ledger.move(identity, State.LOADING, Kind.LOADING, expected=needed.host + needed.device)
        threading.Thread(
            target=self._run, args=(load, loader, reservation), name=f"load {identity.version}", daemon=True
        ).start()
        return load

    def supersede(self, identity: Identity) -> None:
        """Say that a load is not wanted any more; it ends at its next stage. Nothing happens where none is under way."""
        with self._lock:
            load = self._loads.get(identity)
            if load is not None:
                load.wanted = False

    @property
    def needed(self) -> frozenset[Identity]:
        """Versions that answer requests, and the one that a rollback returns to."""
        with self._lock:
            versions = (self.route.stable, self.route.candidate, self._previous)
            return frozenset(version.identity for version in versions if version)

    def promote(self, identity: Identity, *, alone: bool = True) -> Route[Model]:
        """Let a version answer every request that starts from now on; one store. Raises NotResidentError.

        `alone`: a candidate that it has beside it ends, too, where it is the stable version already.
        """
        with self._lock:
            version, before = self._find(identity), self.route
            if before.stable is version and (before.candidate is None or not alone):
                return before
            self._resurrect(version)
            self.route = Route(before.epoch + 1, version)
            self._ledger.note(identity, Kind.PROMOTED, epoch=self.route.epoch, instead_of=_name(before.stable))
            older = self._previous
            if before.stable is not version:
                self._previous = before.stable
            for other in (before.stable, before.candidate, older):
                self._let_go(other, keep=self._keep)
            return self.route

    def split(self, identity: Identity, weight: int, session: str = "") -> Route[Model]:
        """Give a version `weight` percent of the requests, beside the stable one; see `Route` for `session`.

        Raises NotResidentError, ValueError.
        """
        if not 0 <= weight <= 100:
            raise ValueError(f"weight is {weight}; it must be from 0 to 100")
        with self._lock:
            version, before = self._find(identity), self.route
            if version is before.stable or before.stable is None:
                raise ValueError(f"{identity} cannot be the candidate: it is the stable version, or there is none")
            if before.candidate is version and (before.weight, before.session) == (weight, session):
                return before
            self._resurrect(version)
            self.route = Route(before.epoch + 1, before.stable, version, weight, session)
            self._ledger.note(identity, Kind.WEIGHTED, epoch=self.route.epoch, weight=weight)
            if before.candidate is not version:
                self._let_go(before.candidate, keep=False)
            return self.route

    def rollback(self) -> Route[Model]:
        """Let the version before answer again; one store, nothing is loaded. Raises NotResidentError."""
        with self._lock:
            before, previous = self.route, self._previous
            if previous is None or previous.model is None:
                gone = f"{previous.identity} is not in memory any more" if previous else "there was no version before"
                raise NotResidentError(f"{self.model}: {gone}; load the version that is to answer, then promote it")
            self._resurrect(previous)
            self.route = Route(before.epoch + 1, previous)
            self._ledger.note(
                previous.identity, Kind.ROLLED_BACK, epoch=self.route.epoch, instead_of=_name(before.stable)
            )
            self._previous = None
            for other in (before.stable, before.candidate):
                self._let_go(other, keep=False)
            return self.route

    def retire(self, identity: Identity) -> None:
        """Let a version go that the route does not name. Raises InUseError, NotResidentError."""
        with self._lock:
            version = self._find(identity)
            if self.route.names(version):
                raise InUseError(f"{self.model}: {identity} answers requests; promote another version first")
            self._let_go(version, keep=False)

    def unload(self) -> None:
        """Serve nothing and let every version go; loads under way end at their next stage."""
        with self._lock:
            self.route = Route(self.route.epoch + 1)
            self._previous = None
            for load in self._loads.values():
                load.wanted = False
            for version in list(self._resident.values()):
                self._let_go(version, keep=False)

    def sizes(self) -> Mapping[Identity, Size]:
        """Bytes of each version in memory."""
        with self._lock:
            return {identity: version.size for identity, version in self._resident.items()}

    def statuses(self) -> Mapping[Identity, VersionStatus]:
        """What is known about each version, oldest first; those that ended are kept for a while."""
        with self._lock:
            held = {identity: version.in_flight for identity, version in self._resident.items()}
            return self._ledger.read(held)

    def _find(self, identity: Identity) -> Version[Model]:
        version = self._resident.get(identity)
        if version is None:
            raise NotResidentError(f"{self.model}: {identity} is not in memory; load it first")
        return version

    def _resurrect(self, version: Version[Model]) -> None:
        """Take a version back from the reclaimer, which has not begun with it: it would not be resident otherwise."""
        if version.retired:
            version.retired = False
            self._ledger.move(version.identity, State.READY, Kind.RESURRECTED)

    def _let_go(self, version: Version[Model] | None, *, keep: bool) -> None:
        """Retire a version that has left the route, unless it is the one before and is to be kept."""
        if version is None or version.retired or version.model is None or self.route.names(version):
            return
        if keep and version is self._previous:
            return
        version.retired = True
        self._ledger.move(version.identity, State.RETIRED, Kind.RETIRED, in_flight=version.in_flight)
        self._reclaimer.add(lambda: self._reclaim(version), lambda seconds: self._report_stuck(version, seconds))

    def _reclaim(self, version: Version[Model]) -> bool:
        """On the reclaimer's thread: end a version if nobody can be using it; False to be asked again."""
        with self._lock:
            if not version.retired:
                return True
            # 2 = the version's own reference and getrefcount's argument. Whoever still computes with the model, or
            # has yet to drop it, makes it more; requests that hold a handle are counted besides.
            if version.in_flight or sys.getrefcount(version.model) > 2:
                return False
            model, version.model = version.model, None
            del self._resident[version.identity]
            reservation = self._reserved.pop(version.identity)
        assert model is not None, "a resident version has a model"  # noqa: S101
        try:
            self._close(model)
        finally:
            del model
            reservation.release()
            with self._lock:
                self._ledger.move(version.identity, State.RECLAIMED, Kind.RECLAIMED, requests=version.acquired)
        return True

    def _report_stuck(self, version: Version[Model], seconds: float) -> None:
        with self._lock:
            self._ledger.note(version.identity, Kind.STUCK, in_flight=version.in_flight, seconds=round(seconds, 3))

    def _reserve(self, needed: Size) -> Reservation:
        """Set memory aside, giving up the version before the stable one only if that is what makes it fit."""
        try:
            return self._budget.reserve(needed)
        except DoesNotFitError:
            spare = self._previous
            if spare is None or spare.retired:
                raise
            reservation = self._budget.reserve(needed, besides=self._reserved[spare.identity].size)
            self._let_go(spare, keep=False)
            return reservation

    def _run(self, load: Load[Model], loader: Loader[Model], reservation: Reservation) -> None:
        """On the load's own thread, from here to the outcome."""
        outcome = attempt(loader, self._steps(load), self._budget, f"{self.model}: {load.identity}")
        if isinstance(outcome, Exception):
            self._end(load, reservation, outcome)
            return
        model, size = outcome
        del outcome
        if not self._admit(load, Version(load.identity, model, size, self._reclaimer.wake), reservation):
            try:
                self._close(model)
            finally:
                del model
                self._end(load, reservation, SupersededError(f"{self.model}: {load.identity} was not wanted any more"))

    def _admit(self, load: Load[Model], version: Version[Model], reservation: Reservation) -> bool:
        """Make a loaded version resident, unless nobody wants it any more."""
        with self._lock:
            if not load.wanted:
                return False
            reservation.settle(version.size)
            self._resident[load.identity], self._reserved[load.identity] = version, reservation
            del self._loads[load.identity]
            self._ledger.move(
                load.identity, State.READY, Kind.READY, host=version.size.host, device=version.size.device
            )
        load.outcome.set_result(version)
        return True

    def _end(self, load: Load[Model], reservation: Reservation, problem: LoadFailedError | SupersededError) -> None:
        reservation.release()
        with self._lock:
            del self._loads[load.identity]
            if isinstance(problem, LoadFailedError):
                detail = {"reason": problem.reason, "message": problem.message}
                self._ledger.move(load.identity, State.FAILED, Kind.FAILED, **detail)
            else:
                self._ledger.move(load.identity, State.SUPERSEDED, Kind.SUPERSEDED)
        load.outcome.set_exception(problem)

    def _steps(self, load: Load[Model]) -> Steps:
        def entered(stage: str) -> None:
            with self._lock:
                self._ledger.enter(load.identity, stage)

        def done(stage: str, seconds: float) -> None:
            with self._lock:
                self._ledger.finish(load.identity, stage, seconds)

        def delayed(reason: str, message: str) -> None:
            with self._lock:
                self._ledger.explain(load.identity, reason, message)

        return Steps(lambda: load.wanted, entered, done, delayed)


def _name(version: Version[Model] | None) -> str | None:
    return str(version.identity) if version else None
