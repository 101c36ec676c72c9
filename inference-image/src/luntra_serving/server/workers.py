"""Threads that run jobs, version by version: what one version does to its own requests, it does to nobody else's.

Each version has a queue and as many threads as are allowed for one, so a version that lags, or hangs on all of its threads, takes no
thread from another. Threads are made when a version finds none idle, and stay for whoever comes next.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import TYPE_CHECKING

from luntra_serving.server.jobs import Job, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Lane:
    """What waits and runs of one version, up to `batch` jobs together; it does not refer to the model."""

    __slots__ = ("admitted", "batch", "jobs", "threads")

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.admitted = 0
        """Jobs that are not over; the event loop's alone."""
        self.jobs: deque[Job] = deque()
        self.threads = 0


class Workers:
    """At most `each` threads for one lane.

    `ran` is told how many jobs ran together, and `ended` is given them, on the thread that ran them.
    """

    def __init__(self, each: int, ran: Callable[[int], None], ended: Callable[[list[Job]], None]) -> None:
        self._each, self._ran, self._ended = each, ran, ended
        self._lock = threading.Lock()  # over every lane's jobs and threads, and the two numbers below
        self._busy = self._threads = 0
        self._turns: queue.SimpleQueue[Lane] = queue.SimpleQueue()

    def put(self, lane: Lane, jobs: Iterable[Job]) -> None:
        """Have jobs of a version run, as soon as one of its threads is free."""
        with self._lock:
            lane.jobs.extend(jobs)
            if lane.threads >= self._each:
                return
            lane.threads += 1
            self._busy += 1
            lacking = self._busy > self._threads
            self._threads += lacking
        if lacking:
            threading.Thread(target=self._work, name=f"infer-{self._threads}", daemon=True).start()
        self._turns.put(lane)

    def _work(self) -> None:
        while True:
            lane = self._turns.get()
            while batch := self._next(lane):
                self._ran(run(batch, lane.batch))
                self._ended(batch)
            del lane

    def _next(self, lane: Lane) -> list[Job]:
        """The first jobs of a lane; if there are none, the thread leaves it in the same moment."""
        with self._lock:
            batch = [lane.jobs.popleft() for _ in range(min(lane.batch, len(lane.jobs)))]
            if not batch:
                lane.threads -= 1
                self._busy -= 1
        return batch
