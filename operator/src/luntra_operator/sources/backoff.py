"""Leave a source alone that does not answer: 1, 2, 4 … 30 seconds, the longer the more often it failed in a row.

Meanwhile whoever asks is told the last error again, never a number. What is counted is an address **and a namespace**, though the
address alone fails: how long an answer takes is up to the query, so one user's heavy query must not have
others' queries left unasked. For the same reason only two questions are under way at a time for each, and what is wrong with a
query itself (Misconfigured) is not counted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from .errors import SourceError, Unavailable

LONGEST: Final = 30.0
"""Seconds that a source is left alone at most."""
AT_A_TIME: Final = 2
MUCH: Final = 256

T = TypeVar("T")


@dataclass
class _Record:
    failures: int = 0
    until: float = 0.0
    error: str = ""
    asking: int = 0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_A_TIME))


class Backoff:
    """Asks sources, and remembers those that fail; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Remember nothing yet."""
        self._clock = clock
        self._records: dict[tuple[str, str], _Record] = {}

    async def ask(self, namespace: str, address: str, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to `question`, which asks `address` for an object of `namespace`.

        Raises:
            Unavailable: the source has failed, now or so recently that it was not asked.
            SourceError: whatever else the question raises.
        """
        self._tidy()
        key = (namespace, address)
        record = self._records.setdefault(key, _Record())
        record.asking += 1
        try:
            async with record.turns:
                if (left := record.until - self._clock()) > 0:
                    raise Unavailable(f"{record.error}; it is asked again in {left:.0f} s")
                return await self._counted(record, question)
        finally:
            record.asking -= 1
            if not record.asking and not record.failures:
                self._records.pop(key, None)

    async def _counted(self, record: _Record, question: Callable[[], Awaitable[T]]) -> T:
        try:
            answer = await question()
        except Unavailable as error:
            pause = min(LONGEST, 2.0**record.failures)
            record.failures = min(record.failures + 1, 10)
            record.until, record.error = self._clock() + pause, str(error)
            raise
        except SourceError:
            record.failures = 0  # it answers
            raise
        record.failures = 0
        return answer

    def _tidy(self) -> None:
        """Forget what nobody has asked since long, where it is much."""
        if len(self._records) < MUCH:
            return
        old = self._clock() - LONGEST
        for key in [key for key, record in self._records.items() if not record.asking and record.until < old]:
            del self._records[key]
