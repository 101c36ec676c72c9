"""The thread on which retired versions end, so that no destructor ever runs on the event loop or inside a request.

A version is taken when it is retired, no request holds it and nobody else refers to its model: the reclaimer's is then
the last reference. A version that is held for too long is reported and waited for, never freed by force.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_POLL = 0.05
"""Seconds between two looks at a version that nobody holds but somebody still refers to."""


@dataclass(slots=True)
class _Waiting:
    poll: Callable[[], bool]
    stuck: Callable[[float], None]
    since: float
    reported: bool = False


class Reclaimer:
    """One thread for all models of a process. `drain` is the time in seconds after which a held version is reported."""

    def __init__(self, *, drain: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._drain, self._clock = drain, clock
        self._inbox: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._waiting: list[_Waiting] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reclaim", daemon=True)
        self._thread.start()

    @property
    def ident(self) -> int | None:
        """The thread's identity, as threading.get_ident() gives it."""
        return self._thread.ident

    def add(self, poll: Callable[[], bool], stuck: Callable[[float], None]) -> None:
        """Take over a version that has just been retired.

        `poll` reclaims it if that is possible and returns True when nothing is left to do (reclaimed, or in use again);
        `stuck` reports that it was held for so many seconds.
        """
        self._inbox.put(_Waiting(poll, stuck, self._clock()))

    def wake(self) -> None:
        """Look again now: a request has let go. May be called anywhere, from a destructor too; it takes no lock."""
        self._inbox.put(None)

    def stop(self) -> None:
        """End the thread; what is still held stays as it is."""
        self._stopped.set()
        self.wake()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._receive()
            self._waiting = [waiting for waiting in self._waiting if not self._look(waiting)]

    def _receive(self) -> None:
        try:
            item = self._inbox.get(timeout=_POLL if self._waiting else None)
        except queue.Empty:
            return
        while True:
            if item is not None:
                self._waiting.append(item)
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                return

    def _look(self, waiting: _Waiting) -> bool:
        try:
            if waiting.poll():
                return True
            held = self._clock() - waiting.since
            if held > self._drain and not waiting.reported:
                waiting.reported = True
                waiting.stuck(held)
        except Exception:  # a version that cannot be closed must not keep the others in memory
            log.exception("a version could not be reclaimed; it is given up, restart the pod to free its memory")
            return True
        return False
