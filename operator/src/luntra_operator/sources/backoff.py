"""Leave a source alone that does not answer: 1, 2, 4 … 30 seconds, the longer the more often it failed in a row.

Meanwhile whoever asks is told the last error again, never a number. What is counted is an address **and a namespace**, though the
address alone fails: how long an answer takes is up to the query, so one user's heavy query must not have
others' queries left unasked. What is wrong with a query itself (Misconfigured) is not counted. And a namespace has few questions under
way at a time, whomever it asks, so that it cannot have all threads wait for servers of its own that hang.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from .errors import SourceError, Unavailable

LONGEST: Final = 30.0
"""Seconds that a source is left alone at most."""
AT_A_TIME: Final = 4
"""Questions of a namespace."""
MUCH: Final = 256

T = TypeVar("T")
Key = tuple[str, str]


@dataclass
class _Failure:
    times: int = 0
    until: float = 0.0
    error: str = ""


@dataclass
class _Place:
    asking: int = 0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_A_TIME))


class Backoff:
    """Asks sources, and remembers those that fail; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Remember nothing yet."""
        self._clock = clock
        self._failures: dict[Key, _Failure] = {}
        self._places: dict[str, _Place] = {}

    async def ask(self, namespace: str, address: str, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to `question`, which asks `address` for an object of `namespace`.

        Raises:
            Unavailable: the source has failed, now or so recently that it was not asked.
            SourceError: whatever else the question raises.
        """
        place = self._places.setdefault(namespace, _Place())
        place.asking += 1
        try:
            async with place.turns:
                return await self._asked((namespace, address), question)
        finally:
            place.asking -= 1
            if not place.asking:
                del self._places[namespace]

    async def _asked(self, key: Key, question: Callable[[], Awaitable[T]]) -> T:
        failure = self._failures.get(key)
        if failure is not None and (left := failure.until - self._clock()) > 0:
            raise Unavailable(f"{failure.error}; it is asked again in {left:.0f} s")
        try:
            answer = await question()
        except Unavailable as error:
            self._failed(key, str(error))
            raise
        except SourceError:
            self._failures.pop(key, None)  # it answers
            raise
        self._failures.pop(key, None)
        return answer

    def _failed(self, key: Key, error: str) -> None:
        now = self._clock()
        if len(self._failures) >= MUCH:  # of some nobody has asked since long
            self._failures = {one: known for one, known in self._failures.items() if known.until > now - LONGEST}
        failure = self._failures.setdefault(key, _Failure())
        failure.until, failure.error = now + min(LONGEST, 2.0**failure.times), error
        failure.times = min(failure.times + 1, 10)
