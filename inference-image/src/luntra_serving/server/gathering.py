"""Requests that wait for company, so that they run together: for a time at most, and only if the deployer allows one.

Nothing here is polled, and nothing shared with a thread: a group is let go by the request that fills it, or by a timer that
the first one starts. Whoever lets it go takes the whole group out, so that no request stays behind or goes twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_serving.server.jobs import Job
    from luntra_serving.server.model import ReadyModel


class Gathering:
    """Used from one event loop only. `delay`: seconds; `most`: requests of one group; `release` takes the groups."""

    def __init__(self, delay: float, most: int, release: Callable[[list[Job]], None]) -> None:
        self._delay, self._most, self._release = delay, most, release
        self._groups: dict[ReadyModel, tuple[list[Job], asyncio.TimerHandle]] = {}
        self._loop = asyncio.get_running_loop()

    def wanted(self, job: Job) -> bool:
        """Whether a job may wait for company, and could run with it."""
        return self._delay > 0 and self._most > 1 and job.model.joinable

    def add(self, job: Job) -> None:
        """Let a job wait with those of its model, or go with them if they are enough, or it cannot spare the time."""
        group, timer = self._groups.get(job.model) or self._begin(job.model)
        group.append(job)
        if len(group) >= self._most or job.within < 2 * self._delay:
            timer.cancel()
            self._let_go(job.model)

    def _begin(self, model: ReadyModel) -> tuple[list[Job], asyncio.TimerHandle]:
        begun: tuple[list[Job], asyncio.TimerHandle] = [], self._loop.call_later(self._delay, self._let_go, model)
        self._groups[model] = begun
        return begun

    def _let_go(self, model: ReadyModel) -> None:
        group, _ = self._groups.pop(model)
        self._release(group)
