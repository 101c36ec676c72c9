"""Loads: each on a thread of its own, which may block as long as it likes; joined, given up, and ended exactly once."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic

from .budget import Budget, Reservation, Size
from .events import Kind
from .states import Stage, State
from .version import Identity, Model, Version

if TYPE_CHECKING:
    from types import TracebackType

    from .ledger import Ledger


log = logging.getLogger(__name__)

_ROOM_SECONDS = 60.0
"""How long a load waits for the memory of a version that was given up for it."""


class SupersededError(Exception):
    """The load was not wanted any more before it had finished."""


class LoadFailedError(Exception):
    """A version could not be loaded; `reason` is one word. It holds no reference to what was loaded so far.

    `permanent`: the same version can never be loaded here; otherwise trying again later may help.
    """

    def __init__(self, reason: str, message: str, *, permanent: bool = False) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message, self.permanent = reason, message, permanent

    @classmethod
    def of(cls, error: BaseException) -> LoadFailedError:
        """The failure that a loader's exception means.

        A new exception, because the frames of the old one's traceback would keep alive what was loaded so far.
        """
        reason = str(getattr(error, "reason", type(error).__name__))
        message = str(getattr(error, "message", error))
        return cls(reason, message, permanent=bool(getattr(error, "permanent", False)))


class Load(Generic[Model]):
    """A load that is under way or over; everybody who asks for the same version gets the same one."""

    def __init__(self, identity: Identity, budget: Budget) -> None:
        self.identity = identity
        self.wanted = True
        self.reservation = Reservation(budget)
        self.outcome: Future[Version[Model]] = Future()

    @classmethod
    def ended(cls, version: Version[Model], budget: Budget) -> Load[Model]:
        """Return a load that is over: the version is in memory."""
        load: Load[Model] = cls(version.identity, budget)
        load.outcome.set_result(version)
        return load

    def result(self, timeout: float | None = None) -> Version[Model]:
        """The version, once it is ready. Raises LoadFailedError, SupersededError, TimeoutError (after `timeout` seconds)."""
        return self.outcome.result(timeout)


class Steps:
    """Given to a loader, which runs each stage inside `with steps(Stage.FETCH):`."""

    def __init__(self, loads: Loads[Any], load: Load[Any]) -> None:
        self._loads, self._load = loads, load

    def __call__(self, stage: Stage, limit: float | None = None) -> RunningStage:
        """Run a stage. Entering it raises SupersededError when the load is not wanted any more.

        A stage itself is never interrupted. Where it still runs after `limit` seconds, the load has failed (TimedOut),
        and what its thread comes to in the end is dropped.
        """
        return RunningStage(self._loads, self._load, stage, limit)

    def reserve(self, needed: Size) -> None:
        """Set aside what the version is expected to take, before it takes it. Raises DoesNotFitError, SupersededError.

        May wait for the memory of a version that is given up for this one.
        """
        self._loads.make_room(self._load, needed)
        if not self._loads.budget.covered:
            with self(Stage.MAKE_ROOM):
                self._loads.budget.wait_until_covered(_ROOM_SECONDS, needed)

    def delayed(self, reason: str, message: str) -> None:
        """Say why it takes longer: it shows in the version's status."""
        self._loads.note(self._load, lambda ledger: ledger.explain(self._load.identity, reason, message))


class RunningStage:
    """A stage while it runs."""

    def __init__(self, loads: Loads[Any], load: Load[Any], stage: Stage, limit: float | None) -> None:
        self._loads, self._load, self._stage = loads, load, stage
        self._watch = threading.Timer(limit, loads.expire, (load, stage, limit)) if limit is not None else None
        self._started = 0.0

    def __enter__(self) -> None:
        if not self._load.wanted:
            raise SupersededError
        self._loads.note(self._load, lambda ledger: ledger.enter(self._load.identity, self._stage))
        if self._watch is not None:
            self._watch.daemon = True
            self._watch.start()
        self._started = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.monotonic() - self._started
        if self._watch is not None:
            self._watch.cancel()
        if kind is None:
            self._loads.note(self._load, lambda ledger: ledger.finish(self._load.identity, self._stage, seconds))


Loader = Callable[[Steps], tuple[Model, Size]]
"""Loads a model stage by stage and says how many bytes it was measured to take; raises whatever its libraries raise.

An exception may carry `reason` (one word), `message` and `permanent`; otherwise its type's name and its text serve.
A loader that raises must have closed what it had opened.
"""


class Loads(Generic[Model]):
    """The loads of one model that are under way.

    `join`, `begin` and `supersede` are called under `lock`, which is the swapper's; the rest takes it by itself.

    Args:
        admit: makes a loaded version resident; called under the lock with the memory that is set aside for it.
        claim: sets memory aside, giving up a version if need be; called under the lock, raises DoesNotFitError.
        close: gives back what a model holds that nobody wants.
        wake: called when a retired version may have lost its last request.
    """

    def __init__(
        self,
        model: str,
        *,
        lock: threading.RLock,
        ledger: Ledger,
        budget: Budget,
        admit: Callable[[Version[Model], Reservation], None],
        claim: Callable[[Reservation, Size], None],
        close: Callable[[Model], None],
        wake: Callable[[], None],
    ) -> None:
        self.budget = budget
        self._model, self._lock, self._ledger = model, lock, ledger
        self._admit, self._claim, self._close, self._wake = admit, claim, close, wake
        self._under_way: dict[Identity, Load[Model]] = {}

    def join(self, identity: Identity) -> Load[Model] | None:
        """Return the load of that version if it is under way; it is wanted from now on."""
        load = self._under_way.get(identity)
        if load is not None:
            load.wanted = True
        return load

    def begin(self, identity: Identity, loader: Loader[Model]) -> Load[Model]:
        """Start the load of a version that has none."""
        load: Load[Model] = Load(identity, self.budget)
        self._under_way[identity] = load
        self._ledger.move(identity, State.LOADING, Kind.LOADING)
        threading.Thread(target=self._run, args=(load, loader), name=f"load {identity.version}", daemon=True).start()
        return load

    def supersede(self, identity: Identity | None = None) -> None:
        """Say that the load of that version is not wanted any more, or that none is; it ends at its next stage."""
        for load in self._under_way.values():
            if identity is None or load.identity == identity:
                load.wanted = False

    def note(self, load: Load[Model], write: Callable[[Ledger], None]) -> None:
        """Write into the ledger, unless the load was given up: another one of the same version may be under way by then."""
        with self._lock:
            if self._under_way.get(load.identity) is load:
                write(self._ledger)

    def make_room(self, load: Load[Model], needed: Size) -> None:
        """Set memory aside for a load. Raises DoesNotFitError, SupersededError."""
        with self._lock:
            if not load.wanted:
                raise SupersededError
            self._claim(load.reservation, needed)

    def expire(self, load: Load[Model], stage: Stage, limit: float) -> None:
        """Give up a load whose stage still runs after `limit` seconds."""
        message = f"{stage} still runs after its limit of {limit:g} s; the memory it takes is free again when it ends"
        self._end(load, LoadFailedError("TimedOut", message))

    def _run(self, load: Load[Model], loader: Loader[Model]) -> None:
        """On the load's own thread, from here to the outcome."""
        outcome = self._attempt(load, loader)
        if isinstance(outcome, Exception):
            load.reservation.release()
            self._end(load, outcome)
            return
        model, size = outcome
        del outcome
        if not self._keep(load, Version(load.identity, model, size, self._wake)):
            try:
                self._close(model)
            finally:
                del model
                load.reservation.release()
                self._end(load, self._superseded(load))

    def _attempt(
        self, load: Load[Model], loader: Loader[Model]
    ) -> tuple[Model, Size] | LoadFailedError | SupersededError:
        try:
            return loader(Steps(self, load))
        except SupersededError:
            return self._superseded(load)
        except BaseException as error:  # noqa: BLE001 - whatever a vendor's library raises, SystemExit too, is this version's failure
            # As text: a log record that refers to the exception would keep alive what was loaded so far.
            log.warning("%s: %s could not be loaded: %s", self._model, load.identity, traceback.format_exc())
            return LoadFailedError.of(error)

    def _superseded(self, load: Load[Model]) -> SupersededError:
        return SupersededError(f"{self._model}: {load.identity} was not wanted any more")

    def _keep(self, load: Load[Model], version: Version[Model]) -> bool:
        """Make a loaded version resident, unless nobody wants it any more."""
        with self._lock:
            if not load.wanted:
                return False
            del self._under_way[load.identity]
            load.reservation.settle(version.size)
            self._admit(version, load.reservation)
            size = version.size
            self._ledger.move(load.identity, State.READY, Kind.READY, host=size.host, device=size.device)
        load.outcome.set_result(version)
        return True

    def _end(self, load: Load[Model], problem: LoadFailedError | SupersededError) -> None:
        """Tell whoever waits that nothing comes of it, unless they were told before."""
        with self._lock:
            if self._under_way.get(load.identity) is not load:
                return
            del self._under_way[load.identity]
            load.wanted = False
            if isinstance(problem, LoadFailedError):
                detail = {"reason": problem.reason, "message": problem.message}
                self._ledger.move(load.identity, State.FAILED, Kind.FAILED, **detail)
            else:
                self._ledger.move(load.identity, State.SUPERSEDED, Kind.SUPERSEDED)
        load.outcome.set_exception(problem)
