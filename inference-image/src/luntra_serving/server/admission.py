"""Who may run now: a bounded queue before a few threads, and a deadline for each request.

Guarantees: at most `workers` runs at once on threads, and at most `max_queue` requests more than threads wait; one more is refused at
once (429) rather than kept. A request that did not start before its deadline, or whose client has gone, never starts. One that is
running cannot be stopped: its answer is dropped (504), and its thread stays taken until it returns.

Requests of one version that wait together run together, up to `max_batch`. Without a `batch_delay` nobody ever waits for company,
so a batch grows with the load and by nothing else; with one, a request that finds nobody waiting for a thread first waits for
others, at most so long (`Gathering`). What is queued at a promotion runs on the version that it has acquired.

Handing a request to a thread and back costs more than a small model does, and the interpreter runs one thread at a time anyway.
So requests of a model that is known to be quick run on the event loop, as long as nothing waits for the threads (`Pace`), nor
for company.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from luntra_serving.durations import format_duration
from luntra_serving.errors import RequestError
from luntra_serving.server.gathering import Gathering
from luntra_serving.server.jobs import Job, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_serving.server.model import ReadyModel


_HERE = 64
"""Requests that may run on the event loop in one turn of it."""


class Admission:
    """Used from one event loop only; jobs run there or on the threads."""

    def __init__(
        self,
        *,
        workers: int,
        max_queue: int,
        max_batch: int = 1,
        batch_delay: float = 0.0,
        ran: Callable[[int], None] = lambda _requests: None,
    ) -> None:
        """`batch_delay` is in seconds. `ran` is told how many requests ran together; it may be called on any thread."""
        self._places = workers + max_queue
        self._max_queue, self._max_batch, self._ran = max_queue, max_batch, ran
        self._admitted = 0
        self._gathering = Gathering(batch_delay, max_batch, self._queue)
        self._lanes: dict[ReadyModel, deque[Job]] = {}
        self._turns: queue.SimpleQueue[deque[Job]] = queue.SimpleQueue()
        self._ended: deque[Job] = deque()
        self._woken = False
        self._together: list[Job] = []
        self._loop = asyncio.get_running_loop()
        for number in range(workers):
            threading.Thread(target=self._work, name=f"infer-{number}", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Requests that wait for company or a thread, or run on one."""
        return self._admitted

    def submit(self, job: Job, *, within: float, small: bool) -> None:
        """Have a job run within so many seconds, and told what came of it: a result or an error (504 if late).

        `small`: it may run on the event loop. Raises RequestError (429) if the queue is full.
        """
        job.within, job.asked = within, time.monotonic()
        job.limit = job.asked + within
        wants_company = self._gathering.wanted(job)
        if small and not wants_company and not self._admitted and len(self._together) < _HERE and job.model.pace.quick:
            if not self._together:
                self._loop.call_soon(self._run_here)  # after what else has arrived in this turn of the loop
            self._together.append(job)
            return
        if self._admitted >= self._places:
            raise RequestError(
                429,
                f"{self._max_queue} requests are waiting already, which is the limit (--max-queue); try again later",
            )
        self._admitted += 1
        job.timer = self._loop.call_later(within, job.finish, _too_late(within))
        if wants_company and not self._lanes.get(job.model):
            self._gathering.add(job)
        else:
            self._queue([job])

    def _queue(self, jobs: list[Job]) -> None:
        """Give jobs of one model, no more than run together, a turn: so no turn is ever lacking for what a lane holds."""
        lane = self._lanes.setdefault(jobs[0].model, deque())
        lane.extend(jobs)
        self._turns.put(lane)

    def _run_here(self) -> None:
        jobs, self._together = self._together, []
        lanes: dict[ReadyModel, list[Job]] = {}
        for job in jobs:
            lanes.setdefault(job.model, []).append(job)
        for lane in lanes.values():
            for start in range(0, len(lane), self._max_batch):
                self._ran(run(lane[start : start + self._max_batch], self._max_batch))
        for job in jobs:
            job.finish(None if job.over else _too_late(job.within))

    def _work(self) -> None:
        while True:
            lane = self._turns.get()
            batch = _take(lane, self._max_batch)
            if batch:
                self._ran(run(batch, self._max_batch))
                self._ended.extend(batch)
                if not self._woken:  # one wake-up of the loop for all that end until it looks
                    self._woken = True
                    self._loop.call_soon_threadsafe(self._collect)
            del lane, batch

    def _collect(self) -> None:
        self._woken = False
        while self._ended:
            job = self._ended.popleft()
            self._admitted -= 1
            if not self._lanes.get(job.model, True):
                del self._lanes[job.model]  # the model must not be kept for a lane that is empty
            if job.over:  # of one that came too late, its timer tells
                job.finish()


def _take(lane: deque[Job], most: int) -> list[Job]:
    """The first jobs of a lane; fewer, or none, where another thread was quicker."""
    batch: list[Job] = []
    while len(batch) < most:
        try:
            batch.append(lane.popleft())
        except IndexError:
            break
    return batch


def _too_late(within: float) -> RequestError:
    return RequestError(
        504,
        f"no answer within the deadline of {format_duration(within)}; send less, or allow more "
        "(header x-request-deadline, or the deadline of a gRPC call)",
    )
