"""When a benchmark leaves stable alone."""

from __future__ import annotations

import re

import pytest

from luntra_operator.checks.guard import Guard
from luntra_operator.checks.tally import Benchmarked


def window(p50: float = 0.010, failures: int = 0, unsent: int = 0) -> Benchmarked:
    return Benchmarked(25, p50, 2 * p50, 40.0, failures / 25, "answered 503" if failures else "", unsent)


GOOD, SLOW, FULL = window(), window(p50=0.031), window(unsent=5)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ([SLOW, SLOW, SLOW], "StableDisturbed"),
        ([FULL, FULL, FULL], "StableOverloaded"),
        ([GOOD, SLOW, SLOW, FULL], "StableOverloaded"),
        ([window(failures=2)], "StableDisturbed"),
    ],
)
def test_a_stable_version_that_suffers_is_left_alone_and_said_to_fail(seen: list[Benchmarked], reason: str) -> None:
    guard = Guard(rate=50, concurrency=4, before=0.010)
    assert [guard.watch(one) for one in seen[:-1]] == [None] * (len(seen) - 1)
    told = guard.watch(seen[-1])
    assert told is not None
    assert (told.reason, told.failed) == (reason, True)
    assert re.search(r"at rate 50/s|rate is 50/s", told.why)
    assert "lower benchmark.rate" in told.why


@pytest.mark.parametrize(
    "seen",
    [[GOOD] * 20, [SLOW, SLOW, GOOD] * 7, [FULL, GOOD] * 10, [window(failures=1)] * 5, [window(unsent=1)] * 5],
)
def test_a_few_bad_windows_are_taken_for_noise(seen: list[Benchmarked]) -> None:
    guard = Guard(rate=50, concurrency=4, before=0.010)
    assert [guard.watch(one) for one in seen] == [None] * len(seen)


def test_what_is_slow_without_the_benchmark_too_is_the_machines_doing() -> None:
    """Breaks if a machine that gets busy during a benchmark is taken for a stable version that suffers from it."""
    guard = Guard(rate=50, concurrency=4, before=0.010)
    assert guard.slow(SLOW)
    assert [guard.watch(SLOW, after=0.011) for _ in range(10)] == [None] * 10
    assert guard.watch(SLOW, after=0.010) is None
    assert guard.watch(SLOW, after=float("nan")) is None
    told = guard.watch(SLOW, after=0.010)
    assert told is not None
    assert "from a median latency of 10 ms to 31 ms" in told.why


def test_a_very_fast_version_may_get_slower_by_what_timers_cost() -> None:
    guard = Guard(rate=50, concurrency=4, before=0.0005)
    assert [guard.watch(window(p50=0.005)) for _ in range(5)] == [None] * 5


def test_what_stable_bore_is_named() -> None:
    guard = Guard(rate=50, concurrency=4, before=0.010)
    guard.watch(FULL)
    guard.watch(FULL)
    told = guard.watch(FULL)
    assert told is not None
    assert "bore 40 requests/s with at most concurrency 4 in flight, rate is 50/s" in told.why
