"""Act while the Lease is held, stop when it is lost, and compete for it again: the process lives on.

An API server that is away for a minute must not cost the restart of a container, which in the end is put off for minutes
(CrashLoopBackOff). What ends a process elsewhere, that nothing of a lost term goes on, is here seen to: its tasks are cancelled and
waited for before the next term begins, and the process does end where one of them does not. They cannot write meanwhile
(`Kube.fenced`).
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import AbstractContextManager
from typing import Any

from .lease import Lease, LeaseLostError

log = logging.getLogger(__name__)

ENDING = 20.0
"""Seconds that work may take to end once it is cancelled."""

Work = Mapping[str, Callable[[], Coroutine[Any, Any, None]]]
"""What is done in a term, by name, all at once; none of it ends by itself."""


async def lead(stop: asyncio.Event, lease: Lease | None, term: Callable[[], AbstractContextManager[Work]]) -> None:
    """Do the work of one term after the other until `stop` is set or a part of it ends; with no `lease` there is one term.

    Raises:
        LeaseLostError: cancelled work has not ended in time; whoever holds the lease next might not be alone.
    """
    while lease is None or await _unless(stop, lease.acquire()):
        with term() as work:
            lost = await _act(stop, lease, work)
        if lost is None:
            break
        log.warning("nothing is done before this process leads again: %s", lost)


async def _act(stop: asyncio.Event, lease: Lease | None, work: Work) -> LeaseLostError | None:
    """One term; why the lease was lost, None where it was not and this is the end of all."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(begin(), name=name) for name, begin in work.items()]
    tasks.append(asyncio.create_task(stop.wait(), name="stop"))
    if lease is not None:
        tasks.append(asyncio.create_task(lease.hold(), name="lease"))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(tasks)
    lost = next((error for task in done if isinstance(error := _error(task), LeaseLostError)), None)
    if lease is not None and lost is None:
        await lease.release()
    for task in done:
        log.info("stopping: %s ended", task.get_name())
        if lost is None or _error(task) is not lost:
            task.result()
    return None if stop.is_set() else lost


def _error(task: asyncio.Task[Any]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    _, left = await asyncio.wait(tasks, timeout=ENDING)
    if left:
        names = ", ".join(sorted(task.get_name() for task in left))
        raise LeaseLostError(f"{names} did not end within {ENDING:g} s after being cancelled")


async def _unless(stop: asyncio.Event, waiting: Coroutine[None, None, None]) -> bool:
    """Whether `waiting` ended before `stop` was set; it is cancelled otherwise."""
    task, stopped = asyncio.create_task(waiting), asyncio.create_task(stop.wait())
    done, pending = await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
    for one in pending:
        one.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if task in done:
        task.result()
    return task in done
