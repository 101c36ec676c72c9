"""Memory that versions may take, in bytes, on the host and on the device: asked before a load, so that none is begun in vain."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Resident bytes of one version."""

    host: int = 0
    device: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.host + other.host, self.device + other.device)

    def __sub__(self, other: Size) -> Size:
        return Size(self.host - other.host, self.device - other.device)

    def fits(self, free: Size) -> bool:
        """Whether both parts fit into what is free."""
        return self.host <= free.host and self.device <= free.device


NOTHING = Size()


class DoesNotFitError(Exception):
    """A version needs more than is free; `needed`, `free` and `total` are in bytes."""

    reason = "DoesNotFit"

    def __init__(self, needed: Size, free: Size, total: Size) -> None:
        super().__init__(
            f"needs {_text(needed)}, but {_text(free)} of {_text(total)} are free; unload another version or raise the limit"
        )
        self.needed, self.free, self.total = needed, free, total


class Reservation:
    """Bytes set aside for one version, from before its load until after its reclamation."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.size = NOTHING

    def claim(self, needed: Size, *, besides: Size = NOTHING) -> None:
        """Set `needed` bytes aside in all; `besides` is counted as free already. Raises DoesNotFitError, changing nothing."""
        self._budget.claim(self.size, needed, besides)
        self.size = needed

    def settle(self, measured: Size) -> None:
        """Replace what was expected by what was measured; it may exceed the budget, and then the next load is refused."""
        self._budget.exchange(self.size, measured)
        self.size = measured

    def release(self) -> None:
        """Give everything back; a second time gives nothing."""
        self._budget.exchange(self.size, NOTHING)
        self.size = NOTHING


class Budget:
    """The process's limit, shared by all its models. Safe to use from any thread."""

    def __init__(self, total: Size) -> None:
        self.total = total
        self._used = NOTHING
        self._lock = threading.Condition()

    @property
    def free(self) -> Size:
        """Bytes that nobody has reserved; negative where a version turned out larger than expected."""
        return self.total - self._used

    def claim(self, before: Size, needed: Size, besides: Size) -> None:
        """Count `needed` instead of `before` if that fits; `besides` is counted as free already. Raises DoesNotFitError."""
        with self._lock:
            free = self.free + before + besides
            if not needed.fits(free):
                raise DoesNotFitError(needed, free, self.total)
            self._used = self._used - before + needed

    def exchange(self, before: Size, after: Size) -> None:
        """Count `after` instead of `before`."""
        with self._lock:
            self._used = self._used - before + after
            self._lock.notify_all()

    @property
    def covered(self) -> bool:
        """Whether no more is reserved than there is."""
        return NOTHING.fits(self.free)

    def wait_until_covered(self, seconds: float, needed: Size) -> None:
        """Wait until what was counted as free for the `needed` bytes is free. Raises DoesNotFitError after so many seconds."""
        with self._lock:
            if not self._lock.wait_for(lambda: self.covered, seconds):
                raise DoesNotFitError(needed, self.free + needed, self.total)


def _text(size: Size) -> str:
    device = f" + {size.device:,} B on the device" if size.device else ""
    return f"{size.host:,} B{device}"
