"""Who may run now: a bounded queue before a few threads, and a deadline for each request.

Guarantees: at most `workers` calls run on threads and `max_queue` wait; one more is refused at once (429) rather than kept.
A call that did not start before its deadline, or whose client has gone, never starts. A call that is already running cannot
be stopped: its answer is dropped (504), and its thread stays taken until it returns.

Handing a call to a thread and back costs more than a small model does, and the interpreter runs one thread at a time anyway.
So a call that is known to be quick runs where it is, on the event loop, as long as nothing waits (`Pace`).
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from luntra_serving.durations import format_duration
from luntra_serving.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

_QUICK = 0.0003
"""Seconds that a call may take on the event loop on average: what a loop that also serves health checks can spare."""


class Pace:
    """How long the calls of one version have taken lately, in seconds."""

    __slots__ = ("_mean",)

    def __init__(self) -> None:
        self._mean = 1.0  # not known to be quick

    @property
    def quick(self) -> bool:
        """Whether a call is expected to take less time than handing it to a thread."""
        return self._mean < _QUICK

    def observe(self, seconds: float) -> None:
        """Take one call into account; a single slow one is enough to leave the loop, a dozen quick ones to return."""
        self._mean = seconds if seconds > self._mean or seconds > 10 * _QUICK else 0.7 * self._mean + 0.3 * seconds


class Job(Generic[Result]):
    """One call. `done` gets its result or its error, once, on the event loop."""

    __slots__ = ("_done", "call", "error", "finished", "limit", "result", "timer", "wanted")

    def __init__(
        self,
        call: Callable[[], Result],
        wanted: Callable[[], bool],
        done: Callable[[Result | None, Exception | None], None],
        limit: float,
    ) -> None:
        self.call, self.wanted, self._done, self.limit = call, wanted, done, limit
        self.result: Result | None = None
        self.error: Exception | None = None
        self.finished = False
        self.timer: asyncio.TimerHandle | None = None

    def run(self) -> None:
        """On whatever thread: make the call, unless it is too late."""
        if self.finished or time.monotonic() >= self.limit or not self.wanted():
            return
        try:
            self.result = self.call()
        except Exception as error:  # noqa: BLE001 - whatever a model's library raises goes to the one who asked
            self.error = error

    def finish(self, error: Exception | None = None) -> None:
        """On the event loop: pass on what came of it, unless that has happened."""
        if self.finished:
            return
        self.finished = True
        if self.timer is not None:
            self.timer.cancel()
        self._done(self.result, error or self.error)


class Admission:
    """Used from one event loop only; the calls run there or on the threads."""

    def __init__(self, *, workers: int, max_queue: int) -> None:
        self._places = workers + max_queue
        self._max_queue = max_queue
        self._admitted = 0
        self._jobs: queue.SimpleQueue[Job[object]] = queue.SimpleQueue()
        self._ended: deque[Job[object]] = deque()
        self._woken = False
        self._loop = asyncio.get_running_loop()
        for number in range(workers):
            threading.Thread(target=self._work, name=f"infer-{number}", daemon=True).start()

    def submit(
        self,
        call: Callable[[], Result],
        done: Callable[[Result | None, Exception | None], None],
        *,
        within: float,
        wanted: Callable[[], bool],
        inline: bool = False,
    ) -> None:
        """Have `call` run within so many seconds, and `done` told what came of it: a result or an error (504 if late).

        `inline`: it may run here and now if nothing waits. Raises RequestError (429) if the queue is full.
        """
        job = Job(call, wanted, done, time.monotonic() + within)
        if inline and not self._admitted:
            job.run()
            job.finish()
            return
        if self._admitted >= self._places:
            raise RequestError(
                429,
                f"{self._max_queue} requests are waiting already, which is the limit (--max-queue); try again later",
            )
        self._admitted += 1
        job.timer = self._loop.call_later(within, job.finish, _too_late(within))
        self._jobs.put(job)  # type: ignore[arg-type]  # a queue of jobs of any result

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            job.run()
            self._ended.append(job)
            del job
            if not self._woken:  # one wake-up of the loop for all that end until it looks
                self._woken = True
                self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        self._woken = False
        while self._ended:
            job = self._ended.popleft()
            self._admitted -= 1
            # One that did not start ends without result and error: its timer tells, or its client has gone.
            if job.result is not None or job.error is not None or not job.wanted():
                job.finish()


def _too_late(within: float) -> RequestError:
    return RequestError(
        504,
        f"no answer within the deadline of {format_duration(within)}; send less, or allow more with x-request-deadline",
    )
