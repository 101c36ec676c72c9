"""Which models may run on the event loop: those that neither compute nor wait for long."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from luntra_serving.server.jobs import Job, run
from luntra_serving.server.pace import Pace
from luntra_serving.server.protocol.request import InferRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

QUICK, SLOW = 0.00001, 0.01


@pytest.fixture
def pace() -> Pace:
    """The pace of a model that is known to be quick."""
    pace = Pace()
    for _ in range(50):
        pace.observe(QUICK, QUICK)
    assert pace.quick
    return pace


def test_model_is_not_quick_before_it_has_shown_that_it_is() -> None:
    assert not Pace().quick


@pytest.mark.parametrize("calls", [1, 32])
def test_model_that_waits_is_never_quick_however_many_calls_share_the_wait(calls: int) -> None:
    pace = Pace()
    for _ in range(100):
        pace.observe(0.001, QUICK, calls)
        assert not pace.quick


def test_run_that_was_preempted_keeps_a_quick_model_on_the_loop(pace: Pace) -> None:
    for _ in range(20):
        for preempted in (SLOW, SLOW, SLOW, QUICK):
            pace.observe(preempted, QUICK)
            assert pace.quick


def test_model_that_begins_to_wait_leaves_the_loop_after_five_runs(pace: Pace) -> None:
    for _ in range(5):
        assert pace.quick
        pace.observe(SLOW, QUICK)
    assert not pace.quick


def test_single_run_that_computes_for_long_leaves_the_loop_and_a_dozen_quick_ones_return(pace: Pace) -> None:
    pace.observe(SLOW, SLOW)
    assert not pace.quick
    for _ in range(12):
        pace.observe(QUICK, QUICK)
    assert pace.quick


def test_computing_is_shared_by_the_calls_that_joined(pace: Pace) -> None:
    for _ in range(20):
        pace.observe(0.002, 0.002, 32)
    assert pace.quick


def test_one_very_long_wait_leaves_the_loop_at_once_and_a_quick_run_returns(pace: Pace) -> None:
    pace.observe(0.2, 0.0001)
    assert not pace.quick
    pace.observe(0.0001, 0.0001)
    assert pace.quick


def test_clock_of_coarse_ticks_makes_nothing_look_slow(pace: Pace) -> None:
    pace.observe(QUICK, 0.01)
    assert pace.quick


def observed(infer: Callable[[Mapping[str, Any]], dict[str, Any]], runs: int) -> Pace:
    """The pace of a model after so many real runs of eight requests."""
    model: Any = SimpleNamespace(infer=infer, joinable=True, pace=Pace())
    request = InferRequest(None, {"x": np.zeros((1, 1))}, ())
    for _ in range(runs):
        jobs = [Job(model, lambda: request, lambda *_: b"", lambda *_: None, lambda: True) for _ in range(8)]
        for job in jobs:
            job.limit = time.monotonic() + 10
        assert run(jobs, 8) == 8
    pace: Pace = model.pace
    return pace


def test_run_tells_computing_from_waiting() -> None:
    def sleep(inputs: Mapping[str, Any]) -> dict[str, Any]:
        time.sleep(0.001)
        return dict(inputs)

    def compute(inputs: Mapping[str, Any]) -> dict[str, Any]:
        until = time.thread_time() + 0.001
        while time.thread_time() < until:
            pass
        return dict(inputs)

    assert observed(dict, 100).quick
    assert observed(compute, 100).quick
    assert not observed(sleep, 40).quick
