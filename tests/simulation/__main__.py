"""`python -m tests.simulation`: tell the stories of many seeds, or of one; exit code 1 if any ends badly."""

import argparse
import sys
import time

from .story import Outcome, tell


def main() -> int:
    """Run the seeds that are asked for and say how fast that was."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds (default 2000)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--seed", type=int, help="tell the story of this one seed")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        outcome = tell(arguments.seed)
        _print(outcome)
        return int(outcome.violated is not None)
    return _many(range(arguments.first, arguments.first + arguments.seeds))


def _many(seeds: range) -> int:
    began = time.process_time()
    failed: list[Outcome] = []
    turns, requests, virtual = 0, 0, 0.0
    for seed in seeds:
        outcome = tell(seed)
        turns, requests, virtual = turns + outcome.turns, requests + outcome.requests, virtual + outcome.virtual
        if outcome.violated:
            failed.append(outcome)
            print(f"seed {seed}: {outcome.violated}")
    took = time.process_time() - began
    if failed:
        _print(failed[0])
    print(
        f"{len(seeds)} seeds, {len(failed)} failed; {took:.1f} s of one processor, {len(seeds) / took:.1f} seeds/s; "
        f"{virtual / 3600:.1f} h of virtual time, {turns} turns, {requests} requests"
    )
    return int(bool(failed))


def _print(outcome: Outcome) -> None:
    print("\n".join(outcome.trace.lines()))
    print(f"seed {outcome.seed}: {outcome.violated or 'all is well'}")
    print(f"replay: python -m tests.simulation --seed {outcome.seed}")


if __name__ == "__main__":
    sys.exit(main())
