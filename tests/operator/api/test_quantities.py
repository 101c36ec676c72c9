"""Two spellings of one value have one canonical form, and two values never share one."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from luntra_operator.api.quantities import canonical_duration, canonical_quantity, seconds

PARTS = st.tuples(st.integers(0, 9999), st.sampled_from(["ms", "s", "m", "h"]))
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
SUFFIXES = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "e3": Decimal(10**3),
}


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        (1, "1"),
        ("1", "1"),
        ("1000m", "1"),
        ("1.0", "1"),
        ("500m", "0.5"),
        (0, "0"),
        ("0m", "0"),
        ("1Gi", "1073741824"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1k", "1000"),
        (100, "100"),
        ("10E", "10000000000000000000"),
    ],
)
def test_quantity_has_one_plain_form(value: str | int, canonical: str) -> None:
    assert canonical_quantity(value) == canonical


@given(st.integers(0, 10**9), st.sampled_from(sorted(SUFFIXES)))
def test_canonical_quantity_keeps_the_value_and_is_its_own_canonical_form(number: int, suffix: str) -> None:
    canonical = canonical_quantity(f"{number}{suffix}")
    assert Decimal(canonical) == number * SUFFIXES[suffix]
    assert canonical_quantity(canonical) == canonical


@given(
    st.integers(0, 10**6), st.sampled_from(sorted(SUFFIXES)), st.integers(0, 10**6), st.sampled_from(sorted(SUFFIXES))
)
def test_quantities_are_equal_exactly_when_their_canonical_forms_are(a: int, left: str, b: int, right: str) -> None:
    equal = a * SUFFIXES[left] == b * SUFFIXES[right]
    assert (canonical_quantity(f"{a}{left}") == canonical_quantity(f"{b}{right}")) == equal


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "-1", "1e", "1e999", "Gi", "1.", "1Gi\n", "1,5"])
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a quantity; write it like 500m, 2, 1\.5 or 4Gi"):
        canonical_quantity(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("500ms", 0.5), ("1m30s", 90), ("2h", 7200), ("0s", 0), ("1.5m", 90), ("1h1ms", 3600.001)]
)
def test_duration_in_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


@given(st.lists(PARTS, min_size=1, max_size=3))
def test_canonical_duration_keeps_the_value_and_is_its_own_canonical_form(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    canonical = canonical_duration(text)
    assert Decimal(canonical.removesuffix("s")) * 1000 == sum(number * MILLISECONDS[unit] for number, unit in parts)
    assert canonical_duration(canonical) == canonical


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_different_durations_have_different_canonical_forms(a: int, b: int) -> None:
    assume(a != b)
    assert canonical_duration(f"{a}ms") != canonical_duration(f"{b}ms")


@pytest.mark.parametrize("text", ["", "5", "5 s", "5 minutes", "-1s", "1s ", "1s\n", "s", "1d"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write it like 500ms, 30s, 1m30s or 2h"):
        seconds(text)
