"""`python -m benchmarks.operator`: measure the operator beside Flagger and write the results to build/bench."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from benchmarks.operator.plot import draw
from benchmarks.operator.report import render
from benchmarks.operator.results import write
from benchmarks.operator.run import PARTS, run
from benchmarks.operator.targets import targets
from benchmarks.serving.publish import OUTPUT
from e2e.kind.errors import HarnessError
from e2e.kind.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 with a message if it broke off, or something that it needs cannot be had."""
    options = _parser().parse_args(arguments)
    try:
        results = asyncio.run(run(options.quick, options.part or PARTS, Progress()))
    except HarnessError as error:
        print(f"bench-operator: {error}", file=sys.stderr)
        return 1
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "operator.json").write_bytes(write(results))
    (OUTPUT / "operator.svg").write_text(draw(results))
    (OUTPUT / "operator.md").write_text(render(results, "operator.svg"))
    for target in targets(results):
        print(f"{target.verdict:9} {target.what}: {target.found} (target {target.wanted})")
    print(f"the whole: {OUTPUT / 'operator.md'}")
    if results.broken_off:
        print(f"bench-operator: broken off: {results.broken_off}", file=sys.stderr)
    return 1 if results.broken_off else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operator", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes: shows that it works, proves nothing")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be given again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
