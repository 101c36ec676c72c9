"""`python -m benchmarks.operator.publish`: make the last run's results the ones that the documentation shows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.operator.plot import draw
from benchmarks.operator.report import render
from benchmarks.operator.results import Results, read
from benchmarks.serving.publish import REPOSITORY, publish

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = REPOSITORY / "benchmarks" / "operator" / "results.json"
PAGE = REPOSITORY / "docs" / "operator-benchmarks.md"
PICTURE = REPOSITORY / "docs" / "images" / "operator-benchmarks.svg"


def pages(results: Results) -> dict[Path, str]:
    """What the documentation says of `results`."""
    return {PAGE: render(results, f"images/{PICTURE.name}"), PICTURE: draw(results)}


def main() -> int:
    """Run the command; 1 if there is no whole run to publish."""
    return publish("operator", RESULTS, read, _fault, pages)


def _fault(results: Results) -> str | None:
    if results.broken_off:
        return "a run that broke off"
    return "a quick run" if results.quick else None


if __name__ == "__main__":
    sys.exit(main())
