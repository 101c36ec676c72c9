"""`python -m benchmarks.analysis.publish`: make the last run's results the ones that the documentation shows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.analysis.plot import draw
from benchmarks.analysis.report import render
from benchmarks.analysis.results import Results, read
from benchmarks.serving.publish import REPOSITORY, publish

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = REPOSITORY / "benchmarks" / "analysis" / "results.json"
PAGE = REPOSITORY / "docs" / "reports" / "statistics.md"
PICTURE = REPOSITORY / "docs" / "images" / "statistics.svg"


def pages(results: Results) -> dict[Path, str]:
    """What the documentation says of `results`."""
    return {PAGE: render(results, f"../images/{PICTURE.name}"), PICTURE: draw(results)}


def main() -> int:
    """Run the command; 1 if there is no whole run to publish."""
    return publish("analysis", RESULTS, read, lambda results: "a quick run" if results.quick else None, pages)


if __name__ == "__main__":
    sys.exit(main())
