"""Who may run now: for each version a bounded queue before a few threads, and a deadline for each request.

Guarantees: of each version at most `workers` runs at once on threads, and at most `max_queue` requests more than that wait; one more
is refused at once (429) rather than kept. A request that did not start before its deadline, or whose client has gone, never
starts. One that is running cannot be stopped: its answer is dropped (504), and its thread stays taken until it returns. A candidate
that hangs so fills its own queue and its own threads, and no one else's (`Workers`).

Requests of one version that wait together run together, up to `max_batch`. Without a `batch_delay` nobody ever waits for company,
so a batch grows with the load and by nothing else; with one, a request that finds nobody waiting for a thread first waits for
others, at most so long (`Gathering`). What is queued at a promotion runs on the version that it has acquired.

Handing a request to a thread and back costs more than a small model does, and the interpreter runs one thread at a time anyway.
So requests of a model that is known to be quick run on the event loop, as long as none of the version is with the threads (`Pace`)
or waits for company.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from luntra_serving.durations import format_duration
from luntra_serving.errors import RequestError
from luntra_serving.server.gathering import Gathering
from luntra_serving.server.jobs import Job, run
from luntra_serving.server.workers import Lane, Workers

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
        self._gathering = Gathering(batch_delay, max_batch, self._queue)
        self._workers = Workers(workers, ran, self._hand_back)
        self._lanes: dict[ReadyModel, Lane] = {}
        self._ended: deque[Job] = deque()
        self._woken = False
        self._together: list[Job] = []
        self._loop = asyncio.get_running_loop()

    @property
    def waiting(self) -> int:
        """Requests that wait for company or a thread, or run on one."""
        return sum(lane.admitted for lane in self._lanes.values())

    def submit(self, job: Job, *, within: float, small: bool) -> None:
        """Have a job run within so many seconds, and told what came of it: a result or an error (504 if late).

        `small`: it may run on the event loop. Raises RequestError (429) if the queue is full.
        """
        job.within, job.asked = within, time.monotonic()
        job.limit = job.asked + within
        wants_company = self._gathering.wanted(job)
        lane = self._lanes.get(job.model)
        if small and lane is None and not wants_company and len(self._together) < _HERE and job.model.pace.quick:
            if not self._together:
                self._loop.call_soon(self._run_here)  # after what else has arrived in this turn of the loop
            self._together.append(job)
            return
        if lane is None:
            lane = self._lanes[job.model] = Lane(self._max_batch if job.model.joinable else 1)
        if lane.admitted >= self._places:
            raise RequestError(
                429,
                f"{self._max_queue} requests of this version are waiting already, which is the limit (--max-queue); "
                "try again later",
            )
        lane.admitted += 1
        job.timer = self._loop.call_later(within, job.finish, _too_late(within))
        if wants_company and not lane.jobs:
            self._gathering.add(job)
        else:
            self._workers.put(lane, [job])

    def _queue(self, jobs: list[Job]) -> None:
        """Take a group that has waited for company."""
        self._workers.put(self._lanes[jobs[0].model], jobs)

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

    def _hand_back(self, batch: list[Job]) -> None:
        """On a worker's thread."""
        self._ended.extend(batch)
        if not self._woken:  # one wake-up of the loop for all that end until it looks
            self._woken = True
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        self._woken = False
        while self._ended:
            job = self._ended.popleft()
            lane = self._lanes[job.model]
            lane.admitted -= 1
            if not lane.admitted:
                del self._lanes[job.model]  # the model must not be kept for a lane that is empty
            if job.over:  # of one that came too late, its timer tells
                job.finish()


def _too_late(within: float) -> RequestError:
    return RequestError(
        504,
        f"no answer within the deadline of {format_duration(within)}; send less, or allow more "
        "(header x-request-deadline, or the deadline of a gRPC call)",
    )
