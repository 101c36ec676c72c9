"""The swapper of one model: its versions, the route between them, and the only way to change either.

A request calls `acquire`, which takes no lock. Everybody else goes through the other methods, which take the swapper's
lock for some microseconds and never while something is loaded, closed or freed.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Generic

from .budget import Budget, DoesNotFitError, Reservation, Size
from .episodes import Episodes
from .events import EventLog, Kind
from .ledger import Ledger
from .loading import Load, Loader, Loads
from .route import Route, SessionRule
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
        self.episodes: Episodes[Model] = Episodes()
        self._close, self._reclaimer, self._keep = close, reclaimer, keep
        self._lock = threading.RLock()
        self._resident: dict[Identity, Version[Model]] = {}
        self._reserved: dict[Identity, Reservation] = {}
        self._previous: Version[Model] | None = None
        self._ledger = Ledger(model, events)
        self._loads: Loads[Model] = Loads(
            model,
            lock=self._lock,
            ledger=self._ledger,
            budget=budget,
            admit=self._admit,
            claim=self._claim,
            close=close,
            wake=reclaimer.wake,
        )

    def acquire(self, session: str | None = None) -> Handle[Model]:
        """Hold the version that is to answer a request, which may name its session. Raises NotServedError."""
        version = self.route.only
        if version is not None:  # Version.hold, written out: the call would be a tenth of the whole
            next(version.entered)
            if not version.retired:
                handle: Handle[Model] = Handle()
                handle.version = version
                handle.model = version.model  # type: ignore[assignment] # as in Version.hold
                return handle
            version.leave()
        return self._choose(session)

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

    def load(self, identity: Identity, loader: Loader[Model]) -> Load[Model]:
        """Bring a version into memory on a thread of its own, or join whoever does so already.

        Where the loader reserves more than is free, the version before the stable one is given up for it if that helps.
        """
        with self._lock:
            known = self._loads.join(identity)
            if known is not None:
                return known
            if identity in self._resident:
                self._resurrect(self._resident[identity])
                return Load.ended(self._resident[identity], self._loads.budget)
            return self._loads.begin(identity, loader)

    def supersede(self, identity: Identity) -> None:
        """Say that a load is not wanted any more; it ends at its next stage. Nothing happens where none is under way."""
        with self._lock:
            self._loads.supersede(identity)

    @property
    def needed(self) -> frozenset[Identity]:
        """Versions that answer requests, and the one that a rollback returns to."""
        with self._lock:
            versions = (self.route.stable, self.route.candidate, self._previous)
            return frozenset(version.identity for version in versions if version)

    def promote(self, identity: Identity, *, session: SessionRule | None = None, alone: bool = True) -> Route[Model]:
        """Let a version answer every request that starts from now on; one store. Raises NotResidentError.

        `alone`: a candidate that it has beside it ends, too, where it is the stable version already.
        """
        with self._lock:
            version, before = self._find(identity), self.route
            if before.stable is version and (before.session == session if before.candidate is None else not alone):
                return before
            self._resurrect(version)
            older = self._previous
            if before.stable is not version:
                self._previous = before.stable
            self._publish(Route(before.epoch + 1, version, session=session))
            self._ledger.note(identity, Kind.PROMOTED, epoch=self.route.epoch, instead_of=_name(before.stable))
            for other in (before.stable, before.candidate, older):
                self._let_go(other, keep=self._keep)
            return self.route

    def split(
        self, identity: Identity, weight: int, *, session: SessionRule | None = None, shadow: int = 0
    ) -> Route[Model]:
        """Give a version `weight` percent of the requests beside the stable one, and copies of `shadow` percent of the others.

        Raises NotResidentError, ValueError.
        """
        for name, percent in (("weight", weight), ("shadow", shadow)):
            if not 0 <= percent <= 100:
                raise ValueError(f"{name} is {percent}; it must be from 0 to 100")
        with self._lock:
            version, before = self._find(identity), self.route
            if version is before.stable or before.stable is None:
                raise ValueError(f"{identity} cannot be the candidate: it is the stable version, or there is none")
            route = Route(before.epoch + 1, before.stable, version, weight, shadow, session)
            if replace(route, epoch=before.epoch) == before:
                return before
            self._resurrect(version)
            self._publish(route)
            self._ledger.note(identity, Kind.WEIGHTED, epoch=route.epoch, weight=weight, shadow=shadow)
            if before.candidate is not version:
                self._let_go(before.candidate, keep=False)
            return route

    def rollback(self) -> Route[Model]:
        """Let the version before answer again; one store, nothing is loaded. Raises NotResidentError."""
        with self._lock:
            before, previous = self.route, self._previous
            if previous is None or previous.model is None:
                gone = f"{previous.identity} is not in memory any more" if previous else "there was no version before"
                raise NotResidentError(f"{self.model}: {gone}; load the version that is to answer, then promote it")
            self._resurrect(previous)
            self._publish(Route(before.epoch + 1, previous, session=before.session))
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
            self._publish(Route(self.route.epoch + 1))
            self._previous = None
            self._loads.supersede()
            for version in list(self._resident.values()):
                self._let_go(version, keep=False)

    def sweep(self) -> None:
        """End the sessions that have fallen silent; to be called now and then, on any thread but the event loop."""
        rule = self.route.session
        if rule is None or rule.ttl is None:
            self.episodes.clear()  # one may have begun while the rule ended
        else:
            self.episodes.expire(rule.ttl)

    def sizes(self) -> Mapping[Identity, Size]:
        """Bytes of each version in memory."""
        with self._lock:
            return {identity: version.size for identity, version in self._resident.items()}

    def statuses(self) -> Mapping[Identity, VersionStatus]:
        """What is known about each version, oldest first; those that ended are kept for a while."""
        with self._lock:
            held = {identity: version.in_flight for identity, version in self._resident.items()}
            return self._ledger.read(held)

    def _choose(self, session: str | None) -> Handle[Model]:
        """Hold the version of the session's episode, or the one that the route has for the request."""
        while True:
            route = self.route
            lasting = session if route.session is not None and route.session.ttl is not None else None
            if lasting is not None and (resumed := self.episodes.resume(lasting)):
                return resumed
            version = route.pick(session)
            if version is None:
                raise NotServedError(f"no version of {self.model} is ready")
            handle = version.hold()
            if handle is not None:  # otherwise it was retired in the moment between: the route names another one by now
                return handle if lasting is None else self.episodes.begin(lasting, handle)

    def _publish(self, route: Route[Model]) -> None:
        """The one store by which requests see another route."""
        self.route = route
        if route.session is None or route.session.ttl is None:
            self.episodes.clear()

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
            if not version.retired or version.model is None:
                return True
            # 2 = the version's own reference and getrefcount's argument. Whoever still computes with the model, or
            # has yet to drop it, makes it more; requests that hold a handle are counted besides.
            if version.in_flight or sys.getrefcount(version.model) > 2:
                return False
            model, version.model = version.model, None
            del self._resident[version.identity]
            reservation = self._reserved.pop(version.identity)
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
            held = {"in_flight": version.in_flight, "sessions": self.episodes.count(version)}
            self._ledger.note(version.identity, Kind.STUCK, **held, seconds=round(seconds, 3))

    def _admit(self, version: Version[Model], reservation: Reservation) -> None:
        self._resident[version.identity], self._reserved[version.identity] = version, reservation

    def _claim(self, reservation: Reservation, needed: Size) -> None:
        """Set memory aside, giving up the version before the stable one only if that is what makes it fit."""
        try:
            reservation.claim(needed)
        except DoesNotFitError:
            spare = self._previous
            if spare is None or spare.retired:
                raise
            reservation.claim(needed, besides=self._reserved[spare.identity].size)
            self._let_go(spare, keep=False)


def _name(version: Version[Model] | None) -> str | None:
    return str(version.identity) if version else None
