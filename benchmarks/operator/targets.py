"""What our operator set out to reach, and whether a run shows it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.serving.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.operator.results import Load, Results, What

OURS, THEIRS = "luntra", "flagger"
_SECOND = 1.0
_FEWER = 100
_MEMORY, _CORES = 512 << 20, 1.0
_REACTIONS: dict[What, str] = {
    "noticed": "a new spec is noticed, p99",
    "told": "deciding sample received → weight 0 written, p99",
    "death": "death of a pod → weight 0 written, p99",
    "edit": "weights written by somebody else → repaired, p99",
    "edit under load": "the same in the largest fleet, p99",
}


def targets(results: Results) -> list[Target]:
    """All targets about which the run says something."""
    return [*_reactions(results), *_requests(results), *(line for load in _largest(results) for line in _fleet(load))]


def _reactions(results: Results) -> Iterator[Target]:
    for what, words in _REACTIONS.items():
        found = results.reaction(OURS, what)
        if found is None:
            continue
        if found.never or not found.samples:
            told = f"{found.never} of {found.never + len(found.samples)} not within {found.within:g} s"
            yield Target(words, "< 1 s", told, met=False)
        else:
            told = f"{found.p99:.3f} s of {len(found.samples)}"
            yield Target(words, "< 1 s", told, found.p99 < _SECOND)


def _requests(results: Results) -> Iterator[Target]:
    ours = next((one for one in results.idle if one.contender == OURS), None)
    for theirs in results.idle:
        if ours is not None and theirs.contender == THEIRS:
            what = f"requests per idle object and hour, against Flagger's with interval {theirs.interval} s"
            found = f"{ours.hourly:.3g} against {theirs.hourly:,.0f}"
            if ours.hourly:
                found += f": 1/{theirs.hourly / ours.hourly:,.0f}"
            yield Target(what, f"≤ 1/{_FEWER}", found, theirs.hourly >= _FEWER * ours.hourly)


def _largest(results: Results) -> list[Load]:
    found = [one for one in results.loads if one.contender == OURS and one.rolling]
    return sorted(found, key=lambda one: one.objects)[-1:]


def _fleet(load: Load) -> Iterator[Target]:
    what = f"{load.objects - load.rolling:,} idle objects and {load.rolling} that roll"
    yield Target(f"{what}: memory", "≤ 512 MiB", f"{load.peak_bytes / 2**20:.0f} MiB", load.peak_bytes <= _MEMORY)
    found = f"{load.cores:.2f} (at most {load.peak_cores:.2f} in 5 s)"
    yield Target(f"{what}: processor", "≤ 1 core", found, load.cores <= _CORES)
