"""A work queue with the semantics of client-go's: dedupe, delays, back-off per key, one worker per key.

A key that is added while it is being worked on is worked on once more afterwards, so no event is lost; a
key added twice while it waits is worked on once. Delays never postpone: the earliest wish wins.
"""

import asyncio
import contextlib
import heapq
import logging
import random
from collections.abc import Awaitable, Callable

Key = tuple[str, str]
"""Namespace and name."""

Work = Callable[[Key], Awaitable[float | None]]
"""Works on a key; returns the seconds after which to do so again, or None."""

log = logging.getLogger(__name__)


class WorkQueue:
    """Runs `work` for added keys on a bounded number of workers.

    An exception of `work` puts its key back with exponential back-off and full jitter between
    `base_delay` and `max_delay` seconds; the next success resets it.
    """

    def __init__(self, work: Work, *, workers: int = 4, base_delay: float = 0.2, max_delay: float = 60.0) -> None:
        """Prepare the queue; `run()` starts it."""
        self._work = work
        self._workers = workers
        self._base, self._max = base_delay, max_delay
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._busy: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._wakeup = asyncio.Event()
        self._slots = asyncio.Semaphore(workers)

    def add(self, key: Key, after: float = 0.0) -> None:
        """Ask for work on `key` in `after` seconds, or earlier if that was asked before."""
        due = asyncio.get_running_loop().time() + after
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        self._wakeup.set()

    def __len__(self) -> int:
        """Keys that wait, due or not."""
        return len(self._due)

    @property
    def overdue(self) -> float:
        """Seconds for which the longest waiting key is due and nobody has taken it; 0 when all is well."""
        now = asyncio.get_running_loop().time()
        return max((now - due for key, due in self._due.items() if key not in self._busy and due < now), default=0.0)

    async def run(self) -> None:
        """Work until cancelled; work under way is cancelled too and may be repeated after a restart."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                key = await self._next()
                await self._slots.acquire()
                self._due.pop(key, None)
                self._busy.add(key)
                tasks.create_task(self._process(key))

    async def _next(self) -> Key:
        loop = asyncio.get_running_loop()
        while True:
            self._wakeup.clear()
            ready, wait = self._pop(loop.time())
            if ready is not None:
                return ready
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wakeup.wait(), wait)

    def _pop(self, now: float) -> tuple[Key | None, float | None]:
        blocked = []
        found, wait = None, None
        while self._heap:
            due, key = self._heap[0]
            if self._due.get(key) != due:
                heapq.heappop(self._heap)
            elif due > now:
                wait = due - now
                break
            else:
                heapq.heappop(self._heap)
                if key not in self._busy:
                    found = key
                    break
                blocked.append((due, key))  # its present work must end first; that wakes us
        for item in blocked:
            heapq.heappush(self._heap, item)
        return found, wait

    async def _process(self, key: Key) -> None:
        try:
            again = await self._work(key)
        except Exception:  # whatever went wrong with one key must not stop the others
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            again = random.uniform(0, min(self._max, self._base * 2 ** min(failures, 32)))  # noqa: S311 - jitter, no secret
            log.exception("work on %s/%s failed %d times in a row; trying again in %.1f s", *key, failures, again)
        else:
            self._failures.pop(key, None)
        finally:
            self._busy.discard(key)
            self._slots.release()
            self._wakeup.set()
        if again is not None:
            self.add(key, again)
