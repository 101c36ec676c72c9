"""An event loop whose clock jumps to the next timer as soon as nothing else is left to do: hours pass in milliseconds."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_TICK = 1e-9
"""Seconds that each look takes at least: a wait that is too short to be added to the clock would never end."""


class _Selector(selectors.DefaultSelector):
    """Never waits: what it should have waited for is added to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """The ready events; without any, time passes."""
        found = super().select(0)
        if not found:
            if timeout is None:
                raise AssertionError("nothing is scheduled any more: the test would wait for ever")
            self.now += max(timeout, _TICK)
        return found


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own, for coroutines that do no I/O."""

    def __init__(self) -> None:
        self._fake = _Selector()
        super().__init__(self._fake)

    def time(self) -> float:
        """Seconds on the loop's own clock."""
        return self._fake.now


def in_fake_time(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on such a loop."""
    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        return runner.run(coroutine)
