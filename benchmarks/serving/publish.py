"""`python -m benchmarks.serving.publish`: make the last run's results the ones that the documentation shows."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.serving.plot import draw
from benchmarks.serving.report import render
from benchmarks.serving.results import Results, read

REPOSITORY = Path(__file__).parents[2]
OUTPUT = REPOSITORY / "build" / "bench"
RESULTS = REPOSITORY / "benchmarks" / "serving" / "results.json"
PAGE = REPOSITORY / "docs" / "benchmarks.md"
PICTURE = REPOSITORY / "docs" / "images" / "benchmarks.svg"


def pages(results: Results) -> dict[Path, str]:
    """What the documentation says of `results`."""
    return {PAGE: render(results, f"images/{PICTURE.name}"), PICTURE: draw(results)}


def main() -> int:
    """Run the command; 1 if there is no whole run to publish."""
    measured = OUTPUT / "serving.json"
    if not measured.exists():
        print(f"publish: {measured} does not exist; run: make bench-serving", file=sys.stderr)
        return 1
    content = measured.read_bytes()
    results = read(content)
    if results.quick:
        print(f"publish: {measured} is of a quick run; run: make bench-serving", file=sys.stderr)
        return 1
    RESULTS.write_bytes(content)
    put(pages(results))
    return 0


def put(pages: dict[Path, str]) -> None:
    """Write pages, and say which."""
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(REPOSITORY))


if __name__ == "__main__":
    sys.exit(main())
