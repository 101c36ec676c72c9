"""One load of one version: its stages, and how it may end. The thread on which it runs may block as long as it likes."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic

from .budget import Budget, Size
from .version import Identity, Model, Version

if TYPE_CHECKING:
    from types import TracebackType


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


class Steps:
    """Given to a loader, which runs each stage inside `with steps("fetch"):`.

    Entering a stage raises SupersededError when the load is not wanted any more: a stage itself is never interrupted.
    """

    def __init__(
        self,
        is_wanted: Callable[[], bool],
        entered: Callable[[str], None],
        done: Callable[[str, float], None],
        delayed: Callable[[str, str], None],
    ) -> None:
        self._is_wanted, self.entered, self.done, self.delayed = is_wanted, entered, done, delayed

    def __call__(self, stage: str) -> Stage:
        return Stage(self, stage)

    def check(self) -> None:
        """Raise SupersededError if the load is not wanted any more."""
        if not self._is_wanted():
            raise SupersededError


class Stage:
    """A stage while it runs."""

    def __init__(self, steps: Steps, name: str) -> None:
        self._steps, self._name = steps, name
        self._started = 0.0

    def __enter__(self) -> None:
        self._steps.check()
        self._steps.entered(self._name)
        self._started = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._steps.done(self._name, time.monotonic() - self._started)


Loader = Callable[[Steps], tuple[Model, Size]]
"""Loads a model stage by stage and says how many bytes it was measured to take; raises whatever its libraries raise.

An exception may carry `reason` (one word), `message` and `permanent`; otherwise its type's name and its text serve.
A loader that raises must have closed what it had opened. `delayed(reason, message)` says why it takes longer.
"""


class Load(Generic[Model]):
    """A load that is under way or over; everybody who asks for the same version gets the same one."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.wanted = True
        self.outcome: Future[Version[Model]] = Future()

    def result(self, timeout: float | None = None) -> Version[Model]:
        """The version, once it is ready. Raises LoadFailedError, SupersededError, TimeoutError (after `timeout` seconds)."""
        return self.outcome.result(timeout)


def attempt(
    loader: Loader[Model], steps: Steps, budget: Budget, what: str
) -> tuple[Model, Size] | LoadFailedError | SupersededError:
    """Run a loader once there is room for it; what it returns, or why there is nothing. `what` is for messages."""
    try:
        if not budget.covered:
            with steps("make-room"):
                budget.wait_until_covered(_ROOM_SECONDS)
        return loader(steps)
    except SupersededError:
        return SupersededError(f"{what} was not wanted any more")
    except BaseException as error:  # noqa: BLE001 - whatever a vendor's library raises, SystemExit too, is this version's failure
        # As text: a log record that refers to the exception would keep alive what was loaded so far.
        log.warning("%s could not be loaded: %s", what, traceback.format_exc())
        return LoadFailedError.of(error)
