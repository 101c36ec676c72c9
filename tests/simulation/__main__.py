"""`python -m tests.simulation`: tell the stories of many seeds, or of one; exit code 1 if any ends badly."""

import argparse
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from .guards import GUARDS, SEEDS, first_found
from .story import Outcome, tell

BATCH = 50
"""Seeds that a process tells at a time."""
PROGRESS = 5000
"""Seeds between two lines that say how far it is."""


def main() -> int:
    """Run the seeds that are asked for and say how fast that was."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds (default 2000)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="how many at once (default: all cores)"
    )
    parser.add_argument("--seed", type=int, help="tell the story of this one seed")
    parser.add_argument("--broken", choices=[*GUARDS, "all"], help="break a guard of the operator and see it found")
    arguments = parser.parse_args()
    if arguments.broken is not None:
        broken = GUARDS if arguments.broken == "all" else [arguments.broken]
        return _broken(broken, range(arguments.first, arguments.first + SEEDS))
    if arguments.seed is not None:
        outcome = tell(arguments.seed)
        _print(outcome)
        return int(outcome.violated is not None)
    return _many(range(arguments.first, arguments.first + arguments.seeds), arguments.processes)


def _many(seeds: range, processes: int) -> int:
    began, told, turns, requests, virtual, processor = time.monotonic(), 0, 0, 0, 0.0, 0.0
    failed: list[int] = []
    with ProcessPoolExecutor(processes) as pool:
        for found in pool.map(_told, (seeds[i : i + BATCH] for i in range(0, len(seeds), BATCH))):
            told, turns, requests = told + found.told, turns + found.turns, requests + found.requests
            virtual, processor = virtual + found.virtual, processor + found.processor
            for seed, violated in found.failed.items():
                failed.append(seed)
                print(f"seed {seed}: {violated}", flush=True)
            if told % PROGRESS == 0 and told < len(seeds):
                took = time.monotonic() - began
                print(f"{told} of {len(seeds)} seeds, {len(failed)} failed; {took:.0f} s", flush=True)
    took = time.monotonic() - began
    if failed:
        _print(tell(failed[0]))
    print(
        f"{told} seeds, {len(failed)} failed; {took:.1f} s in {processes} processes, {told / took:.1f} seeds/s, "
        f"{told / processor:.1f} per second of a processor; "
        f"{virtual / 3600:.1f} h of virtual time, {turns} turns, {requests} requests"
    )
    return int(bool(failed))


def _broken(guards: Iterable[str], seeds: range) -> int:
    """Say of each guard in which seed it is first missed."""
    missed = 0
    for guard in guards:
        found = first_found(guard, seeds)
        missed += found is None
        after = f"found after {found.seed - seeds.start + 1} seeds: {found.violated}" if found else "NOT FOUND"
        print(f"{guard}: {after}", flush=True)
    return int(bool(missed))


@dataclass(frozen=True)
class _Batch:
    """What came of some seeds."""

    told: int
    failed: dict[int, str]
    turns: int
    requests: int
    virtual: float
    processor: float


def _told(seeds: range) -> _Batch:
    began = time.process_time()
    outcomes = [tell(seed) for seed in seeds]
    return _Batch(
        len(outcomes),
        {one.seed: one.violated for one in outcomes if one.violated},
        sum(one.turns for one in outcomes),
        sum(one.requests for one in outcomes),
        sum(one.virtual for one in outcomes),
        time.process_time() - began,
    )


def _print(outcome: Outcome) -> None:
    print("\n".join(outcome.trace.lines()))
    print(f"seed {outcome.seed}: {outcome.violated or 'all is well'}")
    print(f"replay: python -m tests.simulation --seed {outcome.seed}")


if __name__ == "__main__":
    sys.exit(main())
