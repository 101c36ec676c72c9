"""How long the calls of one version take, so as to know where they had better run."""

from __future__ import annotations

_QUICK = 0.0003
"""Seconds that a call may take on the event loop on average: what a loop that also serves health checks can spare."""


class Pace:
    """The time of the latest calls, in seconds. Written from any thread: one store, and the last one wins."""

    __slots__ = ("_mean",)

    def __init__(self) -> None:
        self._mean = 1.0  # not known to be quick

    @property
    def quick(self) -> bool:
        """Whether a call is expected to take less time than handing it to a thread."""
        return self._mean < _QUICK

    def observe(self, seconds: float) -> None:
        """Take one call into account; a single slow one is enough to leave the loop, a dozen quick ones to return."""
        self._mean = seconds if seconds > 10 * _QUICK else 0.7 * self._mean + 0.3 * seconds
