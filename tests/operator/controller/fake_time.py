"""An event loop whose clock jumps to the next timer as soon as nothing else is left to do: hours pass in milliseconds.

It has what coroutines without I/O need of a loop and nothing else (no selector, no threads, no handles with stack traces),
because most of what a simulation does is to wait: asyncio's own loop took a third of its time. All tasks share one context.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, TypeVar, cast

T = TypeVar("T")

_TICK = 1e-9
"""Seconds that each look takes at least: a wait that is too short to be added to the clock would never end."""


class _Call(list[Any]):
    """What is to be called, and with what; the part of `asyncio.Handle` that a caller may use."""

    __slots__ = ()

    def cancel(self) -> None:
        """Do not call it."""
        self[:] = _nothing, ()


def _nothing() -> None:
    """Done in place of a call that was cancelled."""


class FakeTimeLoop:
    """A loop with a clock of its own, for coroutines that do no I/O."""

    def __init__(self) -> None:
        self._loop = cast("asyncio.AbstractEventLoop", self)  # as far as coroutines without I/O can tell
        self._now = 1000.0
        self._ready: deque[_Call] = deque()
        self._timers: list[tuple[float, int, _Call]] = []
        self._count = 0
        self._handler: Callable[[Any, dict[str, Any]], object] | None = None

    def time(self) -> float:
        """Seconds on the loop's own clock."""
        return self._now

    def get_debug(self) -> bool:
        """Never."""
        return False

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self._loop)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        """A task of this loop."""
        return asyncio.Task(coro, loop=self._loop, name=name, context=context)

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        """Call it before time passes."""
        call = _Call((callback, args))
        self._ready.append(call)
        return call

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        """Call it in `delay` seconds."""
        return self.call_at(self._now + delay, callback, *args)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        """Call it then; what is due at the same time is called in the order of asking."""
        call = _Call((callback, args))
        self._count += 1
        heappush(self._timers, (when, self._count, call))
        return call

    def set_exception_handler(self, handler: Callable[[Any, dict[str, Any]], object] | None) -> None:
        """Have `handler` told what nobody caught."""
        self._handler = handler

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell the handler.

        Raises:
            RuntimeError: there is none.
        """
        if self._handler is None:
            raise RuntimeError(f"nobody caught {context}")
        self._handler(self, context)

    def run_until_complete(self, future: Any) -> Any:
        """Run a coroutine to its end, then end all tasks that it leaves."""
        asyncio._set_running_loop(self._loop)
        try:
            task = self.create_task(future)
            self._run(task)
            left = asyncio.all_tasks(self._loop)
            for one in left:
                one.cancel()
            if left:
                self._run(asyncio.gather(*left, return_exceptions=True))
        finally:
            asyncio._set_running_loop(None)
        return task.result()

    def _run(self, until: asyncio.Future[Any]) -> None:
        ready, timers = self._ready, self._timers
        while not until.done():
            if not ready:
                self._pass_time()
            while timers and timers[0][0] <= self._now:
                ready.append(heappop(timers)[2])
            for _ in range(len(ready)):
                callback, args = ready.popleft()
                try:
                    callback(*args)
                except Exception as error:  # noqa: BLE001 - as asyncio does: a callback that fails stops no other
                    self.call_exception_handler({"message": f"{callback} failed", "exception": error})

    def _pass_time(self) -> None:
        if not self._timers:
            raise AssertionError("nothing is scheduled any more: the test would wait for ever")
        self._now = max(self._timers[0][0], self._now + _TICK)


def in_fake_time(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on such a loop."""
    result: T = FakeTimeLoop().run_until_complete(coroutine)
    return result
