"""Who may run now: a bounded queue before a small thread pool, and a deadline for each request.

Guarantees: at most `workers` calls run and `max_queue` wait; one more is refused at once (429) rather than kept. A
call that did not start before its deadline never starts. A call that is already running cannot be stopped: its answer
is dropped (504), and its thread stays taken until it returns.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from luntra_serving.durations import format_duration
from luntra_serving.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class Admission:
    """Used from one event loop only; the calls themselves run on the pool's threads."""

    def __init__(self, *, workers: int, max_queue: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="infer")
        self._workers = workers
        self._max_queue = max_queue
        self._admitted = 0

    async def run(self, call: Callable[[], Result], *, within: float) -> Result:
        """Return the result of `call`, run on the pool within so many seconds.

        Raises RequestError: 429 if the queue is full, 504 if the deadline passes; and whatever `call` raises.
        """
        if self._admitted >= self._workers + self._max_queue:
            raise RequestError(
                429,
                f"{self._max_queue} requests are waiting already, which is the limit (--max-queue); try again later",
            )
        loop = asyncio.get_running_loop()
        limit = time.monotonic() + within

        def guarded() -> Result:
            if time.monotonic() >= limit:
                raise _too_late(within)
            return call()

        self._admitted += 1
        future = self._pool.submit(guarded)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release))
        try:
            async with asyncio.timeout(within) as clock:
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if clock.expired():
                raise _too_late(within) from None
            raise

    def _release(self) -> None:
        self._admitted -= 1


def _too_late(within: float) -> RequestError:
    return RequestError(
        504,
        f"no answer within the deadline of {format_duration(within)}; send less, or allow more with x-request-deadline",
    )
