"""How long the calls of one version take, so as to know where they had better run.

Two things keep a model off the event loop, and they are measured apart: computing for long, and waiting (a model that sleeps,
or looks on while other threads or a GPU compute). By the wall's clock alone, a model that a busy neighbour preempts would
look like one that waits; by the processor's time alone, one that waits would look quick.

What tells waiting from being preempted is that it happens each time: so the least wait of the latest runs counts. Their median
was tried, and is not enough: with three busy threads to a processor, three runs of five may well be preempted. The price is
that a model which waits often, but not always, stays on the loop.
"""

from __future__ import annotations

_QUICK = 0.0003
"""Seconds that a call may take on the event loop on average: what a loop that also serves health checks can spare."""

_LATEST = 5
"""Runs after which a model that has begun to wait is known to."""

_LONG = 0.1
"""Seconds of waiting that count as often at once: a loop cannot stand still for so long five times, to be sure."""


class Pace:
    """What the latest runs took. Written from any thread: single stores, and the last one wins."""

    __slots__ = ("_mean", "_waits", "quick")

    def __init__(self) -> None:
        self._mean = 1.0  # not known to be quick
        self._waits = (1.0,) * _LATEST
        self.quick = False
        """Whether a call is expected to take less time than handing it to a thread."""

    def observe(self, wall: float, processor: float, calls: int = 1) -> None:
        """Take one run of so many calls into account: its seconds by the wall's clock, and of its thread on a processor.

        Computing counts by the call, and a single slow run is enough to leave the loop, a dozen quick ones to return. Waiting
        counts by the run: for so long the loop would have stood still, however many calls had joined.
        """
        processor = min(processor, wall)  # a clock of coarse ticks may say more than has passed
        computed = processor / calls
        self._mean = computed if computed > 10 * _QUICK else 0.7 * self._mean + 0.3 * computed
        wait = wall - processor
        self._waits = waits = (wait,) * _LATEST if wait > _LONG else (*self._waits[1:], wait)
        self.quick = self._mean < _QUICK and min(waits) < _QUICK
