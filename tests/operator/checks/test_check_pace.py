"""Requests at a rate, on a clock of our own: never more than declared, and never made up for."""

from __future__ import annotations

import asyncio

import pytest

from luntra_operator.checks.pace import at_rate


class Clock:
    """Time that passes only when somebody sleeps; `late` seconds are lost on each waking."""

    def __init__(self) -> None:
        self.now = 0.0
        self.late: dict[int, float] = {}
        self._woken = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, duration: float) -> None:
        await asyncio.sleep(0)
        self.now += duration + self.late.get(self._woken, 0.0)
        self._woken += 1


async def sent(rate: float, count: int, late: dict[int, float] | None = None, most: int = 4) -> tuple[list[float], int]:
    clock, times = Clock(), []
    clock.late = late or {}

    async def ask(number: int) -> None:
        times.append(clock())

    unsent = await at_rate(ask, count, rate, most, clock, clock.sleep)
    assert clock() >= (count - 0.001) / rate, "the next one to come is a whole interval away"
    return times, unsent


async def test_requests_are_sent_when_they_are_due() -> None:
    times, unsent = await sent(10.0, 5)
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert unsent == 0


@pytest.mark.parametrize("late", [{5: 0.8}, {2: 0.1, 3: 0.1, 4: 0.3}, dict.fromkeys(range(100), 0.005)])
async def test_time_that_was_lost_is_not_made_up_for(late: dict[int, float]) -> None:
    """Breaks if a schedule that is behind catches up: stable would get a burst above the declared rate."""
    rate = 50.0
    times, _ = await sent(rate, 100, late)
    for begin in times:
        within = sum(begin <= time < begin + 0.5 for time in times)
        assert within <= rate * (0.5 + 0.02) + 1


async def test_what_is_due_beyond_the_requests_in_flight_is_not_sent() -> None:
    clock, asked, answers = Clock(), list[int](), asyncio.Event()

    async def ask(number: int) -> None:
        asked.append(number)
        await answers.wait()

    async def sleep(duration: float) -> None:
        await clock.sleep(duration)
        if clock.now > 0.95:
            answers.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    assert await at_rate(ask, 15, 10.0, 2, clock, sleep) == 8
    assert asked == [0, 1, 10, 11, 12, 13, 14]
