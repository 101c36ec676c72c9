"""Which requests count as before a change, and which as during it."""

from __future__ import annotations

import pytest

from benchmarks.serving.windows import AFTER_SECONDS, BEFORE_SECONDS, quantiles, windows


def test_a_request_belongs_to_the_window_in_which_it_was_due_and_not_answered() -> None:
    due = [9.9, 10.0, 10.1 + AFTER_SECONDS - 0.01, 10.1 + AFTER_SECONDS + 0.01]
    found = windows(due, [5.0, 7.0, 8.0, 9.0], [(10.0, 10.1)])
    assert (found.before.count, found.before.p99) == (1, 5.0)
    assert (found.during.count, found.during.p50, found.during.p99) == (2, 7.0, 8.0)


def test_the_windows_of_all_changes_are_pooled_whatever_the_order_of_answers() -> None:
    due = [20.01, 10.01, 19.9, 9.9, 9.0]
    found = windows(due, [4.0, 3.0, 2.0, 1.0, 99.0], [(10.0, 10.02), (20.0, 20.02)])
    assert (found.before.count, found.before.p999) == (2, 2.0)
    assert (found.during.count, found.during.p999) == (2, 4.0)


def test_what_was_due_long_before_a_change_is_not_counted() -> None:
    with pytest.raises(ValueError, match="no request lies in the windows"):
        windows([10.0 - BEFORE_SECONDS - 0.01], [1.0], [(10.0, 10.1)])


def test_the_ratio_is_that_of_the_99th_percentiles() -> None:
    assert windows([9.9, 10.0], [0.001, 0.004], [(10.0, 10.1)]).ratio == pytest.approx(4.0)


def test_quantiles_are_latencies_that_somebody_has_seen() -> None:
    found = quantiles([float(number) for number in range(1000, 0, -1)])
    assert (found.count, found.p50, found.p99, found.p999) == (1000, 500.0, 990.0, 999.0)
    assert quantiles([3.0]).p999 == 3.0
