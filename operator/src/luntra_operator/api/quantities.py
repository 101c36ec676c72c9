"""Durations and resource quantities as Kubernetes writes them, and their one canonical form.

Two spellings of one value must give one revision hash: `1` = `"1"` = `1000m`, `60s` = `1m`.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Final

from pydantic import StringConstraints

DURATION_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
QUANTITY_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(e[0-9]{1,2}|E[0-9]{1,2}|[mkMGTPE]|[KMGTPE]i)?$"

Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, max_length=32)]
"""A span of time as people write it: `500ms`, `5s`, `1m30s`."""

_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_QUANTITY: Final = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(?:[eE]([0-9]{1,2})|(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$")
_SUFFIX: Final = {
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


@lru_cache(maxsize=1024)
def seconds(duration: str) -> float:
    """Seconds of a duration such as `500ms`, `30s` or `1m30s`.

    Raises:
        ValueError: the text is not a duration.
    """
    return float(_exact_seconds(duration))


def _exact_seconds(duration: str) -> Decimal:
    if not re.fullmatch(DURATION_PATTERN, duration):
        raise ValueError(f"{duration!r} is not a duration; write it like 500ms, 30s, 1m30s or 2h")
    return sum((Decimal(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(duration)), Decimal(0))


def canonical_quantity(value: str | float) -> str:
    """The plain decimal form of a Kubernetes resource quantity: `1Gi` → `1073741824`, `500m` → `0.5`.

    Raises:
        ValueError: the text is not a quantity.
    """
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{value!r} is not a quantity; write it like 500m, 2, 1.5 or 4Gi")
    number, exponent, suffix = match.groups()
    amount = Decimal(number)
    if exponent is not None:
        amount *= Decimal(10) ** int(exponent)
    elif suffix is not None:
        amount *= _SUFFIX[suffix]
    return _plain(amount)


def _plain(amount: Decimal) -> str:
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def canonical_duration(value: str) -> str:
    """One spelling per duration, in seconds: `1m` → `60s`, `500ms` → `0.5s`.

    Raises:
        ValueError: the text is not a duration.
    """
    return f"{_plain(_exact_seconds(value))}s"
