"""Each broken guard is found by the simulation."""

import pytest

from .guards import GUARDS, SEEDS, first_found


@pytest.mark.parametrize("guard", GUARDS)
def test_broken_guard_is_found(guard: str) -> None:
    assert first_found(guard, range(SEEDS)), f"in {SEEDS} stories nobody notices that {guard} is broken"
