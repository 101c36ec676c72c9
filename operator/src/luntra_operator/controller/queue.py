"""A work queue with the semantics of client-go's: dedupe, delays, back-off per key, one worker per key.

A key that is added while it is being worked on is worked on once more afterwards, so no event is lost; a
key added twice while it waits is worked on once. Delays never postpone: the earliest wish wins. Of the keys that are
due the most urgent ones go first, as in controller-runtime's priority queue: a start with a thousand objects at rest keeps no
rollout waiting, and fifty rollouts that begin at once keep no clients waiting.
"""

import asyncio
import contextlib
import heapq
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from enum import IntEnum

from luntra_operator.kube.errors import KubeError, UnavailableError

Key = tuple[str, str]
"""Namespace and name."""


class Priority(IntEnum):
    """Which key goes first of those that are due; among equals the one that is due for longest."""

    URGENT = 0
    """Clients may feel it now: somebody else wrote a route, a pod died, or a metric fails."""
    ASKED = 1
    """Somebody changed the object, and looks whether it is noticed."""
    NORMAL = 2
    BACKGROUND = 3
    """Nothing is known to have happened: what a list has found."""


Wish = tuple[float, Priority]
"""When a key is due, in the event loop's seconds, and how urgent it is then."""

Work = Callable[[Key], Awaitable[float | None]]
"""Works on a key; returns the seconds after which to do so again, or None."""

LIMIT = 120.0
"""Seconds that work on one key may take. Its requests have limits of their own; this one is for what has none."""

OUTAGE_DELAY = 15.0
"""Longest wait after an answer that the API server did not give: rollouts go on soon after it is back."""

log = logging.getLogger(__name__)


class WorkTimeoutError(Exception):
    """Work on a key did not end in time and was cancelled."""


class WorkQueue:
    """Runs `work` for added keys on a bounded number of workers, each for `limit` seconds at most.

    An exception of `work` puts its key back with exponential back-off and full jitter between
    `base_delay` and `max_delay` seconds; the next success resets it. What is expected to go wrong now and then
    (KubeError, a limit) is one line in the log, anything else is a traceback.
    """

    def __init__(
        self,
        work: Work,
        *,
        workers: int = 4,
        base_delay: float = 0.2,
        max_delay: float = 60.0,
        limit: float = LIMIT,
    ) -> None:
        """Prepare the queue; `run()` starts it."""
        self._work = work
        self._workers = workers
        self._base, self._max, self._limit = base_delay, max_delay, limit
        self._wishes: dict[Key, Wish] = {}
        self._later: list[tuple[float, Key]] = []
        self._ready: list[tuple[Priority, float, Key]] = []
        self._busy: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._wakeup = asyncio.Event()
        self._slots = asyncio.Semaphore(workers)

    def add(self, key: Key, after: float = 0.0, priority: Priority = Priority.NORMAL) -> None:
        """Ask for work on `key` in `after` seconds; what was asked for earlier or more urgently before stays so."""
        due = asyncio.get_running_loop().time() + after
        known = self._wishes.get(key, (float("inf"), Priority.BACKGROUND))
        wish = min(due, known[0]), min(priority, known[1])
        if wish == known:
            return
        self._wishes[key] = wish
        heapq.heappush(self._later, (wish[0], key))
        if len(self._later) + len(self._ready) > 2 * len(self._wishes) + 64:  # wishes that another one made void
            self._later = [(due, key) for key, (due, _) in self._wishes.items()]
            self._ready.clear()
            heapq.heapify(self._later)
        self._wakeup.set()

    def __len__(self) -> int:
        """Keys that wait, due or not."""
        return len(self._wishes)

    @property
    def overdue(self) -> float:
        """Seconds for which the longest waiting key is due and nobody has taken it; 0 when all is well."""
        now = asyncio.get_running_loop().time()
        waiting = (now - due for key, (due, _) in self._wishes.items() if key not in self._busy and due < now)
        return max(waiting, default=0.0)

    @property
    def running(self) -> dict[Key, float]:
        """Seconds for which each key that is being worked on has been."""
        now = asyncio.get_running_loop().time()
        return {key: now - since for key, since in self._busy.items()}

    @property
    def failing(self) -> Collection[Key]:
        """Keys whose last work failed."""
        return self._failures.keys()

    async def run(self) -> None:
        """Work until cancelled; work under way is cancelled too and may be repeated after a restart."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._slots.acquire()  # before the choice, so that what is urgent by then is chosen
                key = await self._next()
                del self._wishes[key]
                self._busy[key] = asyncio.get_running_loop().time()
                tasks.create_task(self._process(key))

    async def _next(self) -> Key:
        loop = asyncio.get_running_loop()
        while True:
            self._wakeup.clear()
            key = self._pop(loop.time())
            if key is not None:
                return key
            wait = self._later[0][0] - loop.time() if self._later else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):  # wait_for() would lose a cancellation that comes with the wakeup
                    await self._wakeup.wait()

    def _pop(self, now: float) -> Key | None:
        """The most urgent key that is due and that nobody works on."""
        while self._later and self._later[0][0] <= now:
            due, key = heapq.heappop(self._later)
            known = self._wishes.get(key)
            if known is not None and known[0] == due:
                heapq.heappush(self._ready, (known[1], due, key))
        blocked, found = [], None
        while self._ready and found is None:
            priority, due, key = item = heapq.heappop(self._ready)
            if self._wishes.get(key) != (due, priority):
                continue
            if key in self._busy:
                blocked.append(item)  # its present work must end first; that wakes us
            else:
                found = key
        for item in blocked:
            heapq.heappush(self._ready, item)
        return found

    async def _process(self, key: Key) -> None:
        try:
            again = await self._limited(key)
        except (KubeError, WorkTimeoutError) as error:
            again = self._back_off(key, OUTAGE_DELAY if isinstance(error, UnavailableError) else self._max)
            log.warning("%s/%s failed %d times in a row, next in %.1f s: %s", *key, self._failures[key], again, error)
        except Exception:  # whatever went wrong with one key must not stop the others
            again = self._back_off(key, self._max)
            log.exception("work on %s/%s failed %d times in a row, next in %.1f s", *key, self._failures[key], again)
        except asyncio.CancelledError:  # the watch library, when it gives up, cancels every task that it does not know
            self.add(key)
            raise
        else:
            self._failures.pop(key, None)
        finally:
            self._busy.pop(key, None)
            self._slots.release()
            self._wakeup.set()
        if again is not None:
            self.add(key, again)

    async def _limited(self, key: Key) -> float | None:
        try:
            async with asyncio.timeout(self._limit) as limit:
                return await self._work(key)
        except TimeoutError as error:
            if not limit.expired():
                raise  # the work's own
            raise WorkTimeoutError(f"not done within {self._limit:g} s, so it was cancelled") from error

    def _back_off(self, key: Key, longest: float) -> float:
        """Seconds until the next attempt, anywhere below the bound: after an outage not everybody comes at once."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        bound = min(longest, self._max, self._base * 2 ** min(failures, 32))
        return random.uniform(0, bound)  # noqa: S311 - jitter, no secret
