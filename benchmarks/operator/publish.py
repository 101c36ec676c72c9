"""`python -m benchmarks.operator.publish`: make the last run's results the ones that the documentation shows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.operator.plot import draw
from benchmarks.operator.report import render
from benchmarks.operator.results import Results, read
from benchmarks.serving.publish import OUTPUT, REPOSITORY, put

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = REPOSITORY / "benchmarks" / "operator" / "results.json"
PAGE = REPOSITORY / "docs" / "operator-benchmarks.md"
PICTURE = REPOSITORY / "docs" / "images" / "operator-benchmarks.svg"


def pages(results: Results) -> dict[Path, str]:
    """What the documentation says of `results`."""
    return {PAGE: render(results, f"images/{PICTURE.name}"), PICTURE: draw(results)}


def main() -> int:
    """Run the command; 1 if there is no run to publish. A quick one is published as such: the page says so first of all."""
    measured = OUTPUT / "operator.json"
    if not measured.exists():
        print(f"publish: {measured} does not exist; run: make bench-operator", file=sys.stderr)
        return 1
    content = measured.read_bytes()
    results = read(content)
    if results.broken_off:
        print(f"publish: {measured} is of a run that broke off; run: make bench-operator", file=sys.stderr)
        return 1
    RESULTS.write_bytes(content)
    put(pages(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
