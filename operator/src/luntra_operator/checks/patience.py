"""Waiting for a server that is not there yet, bounded by whoever awaits.

Nothing here knows how long is long enough: the caller puts it under `asyncio.timeout`, and reads in `Progress` how far
it came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from luntra_operator.checks.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_PAUSE = 0.25
_LONGEST_PAUSE = 2.0


LOG_LINES = 20
_LINE = 200


@dataclass
class Progress:
    """What the check is doing, and what it is waiting for; read when the time is up. `log` keeps the last lines noted."""

    doing: str = "nothing was started"
    waiting: str = ""
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))

    def note(self, line: str) -> None:
        """Write a line to the log."""
        line = line if len(line) <= _LINE else f"{line[:_LINE]}…"
        self.log.append(line)
        print(line, flush=True)


async def patiently(ask: Callable[[], Awaitable[T]], who: str, progress: Progress) -> T:
    """Ask until the server is there, with growing pauses of at most 2 s; errors other than Unavailable pass through."""
    pause = _PAUSE
    while True:
        try:
            answer = await ask()
        except Unavailable as error:
            progress.waiting = f"{who} {error}"
            progress.note(progress.waiting)
        else:
            progress.waiting = ""
            return answer
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def insistently(ask: Callable[[], Awaitable[T]], who: str, progress: Progress, attempts: int = 3) -> T:
    """Like `patiently`, but also ask again where the server refused, `attempts` times in all.

    For checks that measure something else than availability: one lost answer must not condemn a model.

    Raises:
        Refused: the last attempt was refused as well.
    """
    for _ in range(attempts - 1):
        try:
            return await patiently(ask, who, progress)
        except Refused as error:
            progress.note(f"{who} {error} ({progress.doing})")
            await asyncio.sleep(_PAUSE)
    return await patiently(ask, who, progress)
