"""Requests at a declared rate, whatever the server does: an open loop, as users are.

The rate is a promise to a server that has users: it is never made up for. A request that is due while as many as allowed are
in flight is not sent at all, and after a delay of our own the schedule moves on rather than catching up, so that the number
sent within any time is at most what the rate allows in it (and one, and what is due within `_LATE`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

_LATE = 0.02
"""Seconds that the schedule may be behind before it moves: what an event loop's timers and a busy processor cost."""


async def at_rate(
    ask: Callable[[int], Coroutine[Any, Any, None]],
    count: int,
    rate: float,
    most: int,
    clock: Clock | None = None,
    sleep: Sleep = asyncio.sleep,
) -> int:
    """Call `ask` with 0, 1, … `count` times at `rate` per second, `most` at a time; returns how many were not sent.

    It comes back when the last has been answered and another would be due. `ask` raises nothing that is not to end the whole.
    """
    now = clock or asyncio.get_running_loop().time
    running: set[asyncio.Task[None]] = set()
    unsent, due = 0, now()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await sleep(max(due - now(), 0.0))
            if len(running) < most:
                task = group.create_task(ask(number))
                running.add(task)
                task.add_done_callback(running.discard)
            else:
                unsent += 1
            due = max(due, now() - _LATE) + 1 / rate
        await sleep(max(due - now(), 0.0))
    return unsent
