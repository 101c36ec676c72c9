"""`python -m benchmarks.serving.publish`: make the last run's results the ones that the documentation shows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks.serving.plot import draw
from benchmarks.serving.report import render
from benchmarks.serving.results import Results, read

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")

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
    return publish("serving", RESULTS, read, lambda results: "a quick run" if results.quick else None, pages)


def publish(
    name: str,
    target: Path,
    read: Callable[[bytes], R],
    fault: Callable[[R], str | None],
    pages: Callable[[R], dict[Path, str]],
) -> int:
    """Keep the last run's results of `make bench-<name>` as `target` and write their pages; 1 if there are none, or with a fault."""
    measured = OUTPUT / f"{name}.json"
    if not measured.exists():
        print(f"publish: {measured} does not exist; run: make bench-{name}", file=sys.stderr)
        return 1
    content = measured.read_bytes()
    results = read(content)
    wrong = fault(results)
    if wrong:
        print(f"publish: {measured} is of {wrong}; run: make bench-{name}", file=sys.stderr)
        return 1
    target.write_bytes(content)
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
