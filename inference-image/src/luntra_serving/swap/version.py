"""A version in memory, and the handle by which a request holds it.

What each primitive guarantees:

- `next(itertools.count())` is one call into C, which no other thread can interrupt (with the global interpreter lock,
  and by a lock of its own without it). So the two counters lose nothing, from however many threads, without a lock here.
- The counters only observe. What keeps a model alive is the reference in each handle, and the reclaimer's rule that it
  takes a model only when nobody else refers to it.
- A request counts itself first and then looks whether the version is retired; a reclaimer marks it retired first and
  then looks at the counters. Whichever comes second sees the other, so no version is taken from a request.

Not guaranteed: that `in_flight` is exact while requests come and go. It is never too low, and exact when nothing moves.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from .budget import Size

Model = TypeVar("Model")


class ReleasedError(RuntimeError):
    """A handle was released twice, or used after its release: a defect of the caller."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells versions apart: the bytes, and the names that the deployer gave them."""

    version: str
    digest: str
    revision: str | None = None

    @property
    def tag(self) -> str:
        """What names it in the ids of requests and in metrics: its revision, or where it has none the digest's first ten digits."""
        return self.revision or self.digest.removeprefix("sha256:")[:10]

    def __str__(self) -> str:
        return f"{self.version} ({self.digest[:19]})"


class Version(Generic[Model]):
    """A loaded model under its identity; `on_idle` is called when a retired version may have lost its last request."""

    __slots__ = ("entered", "identity", "left", "model", "on_idle", "retired", "size")

    def __init__(self, identity: Identity, model: Model, size: Size, on_idle: Callable[[], None]) -> None:
        self.identity = identity
        self.model: Model | None = model
        self.size = size
        self.on_idle = on_idle
        self.retired = False
        self.entered = itertools.count()
        self.left = itertools.count()

    def hold(self) -> Handle[Model] | None:
        """Count a request in; None if the version is retired, so that the caller looks at the route again."""
        next(self.entered)
        if self.retired:
            self.leave()
            return None
        handle: Handle[Model] = Handle()  # without an __init__, which would cost as much as all the rest
        handle.version = self
        handle.model = self.model  # type: ignore[assignment] # counted in before it was retired, so it was not taken
        return handle

    def hold_on(self, model: Model) -> Handle[Model]:
        """Count a request in, retired or not, for a caller whose reference to this version's model keeps it alive."""
        next(self.entered)
        handle: Handle[Model] = Handle()
        handle.version, handle.model = self, model
        return handle

    def leave(self) -> None:
        """Count a request out."""
        next(self.left)
        if self.retired:
            self.on_idle()

    @property
    def in_flight(self) -> int:
        """Requests that hold this version; never too low."""
        left = _value(self.left)  # before the other one: who enters and leaves in between counts as present
        return _value(self.entered) - left

    @property
    def acquired(self) -> int:
        """Requests that have ever held this version."""
        return _value(self.entered)


class Handle(Generic[Model]):
    """One request's hold on a version: `model` may be used until `release`, whatever is promoted meanwhile.

    Made by `Version.hold` alone.
    """

    __slots__ = ("model", "version")

    version: Version[Model]
    model: Model

    def release(self) -> None:
        """Let go, exactly once, on any thread. Raises ReleasedError the second time."""
        try:
            del self.model  # one instruction: of two threads that release the same handle, one fails here
        except AttributeError:
            raise ReleasedError(f"the handle on {self.version.identity} was released before") from None
        version = self.version
        next(version.left)
        if version.retired:
            version.on_idle()

    def __enter__(self) -> Model:
        return self.model

    def __exit__(self, *_: object) -> None:
        self.release()


def _value(counter: itertools.count[int]) -> int:
    """What `next` would return: nothing but its text tells, without taking one."""
    return int(repr(counter)[6:-1])
