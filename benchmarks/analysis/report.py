"""The page that tells a run: results in, Markdown out; pure. What fell short is said as plainly as what did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.analysis.plan import ALPHA, ALPHA_DELAYS, BOUND, RATES, TRAFFICS, WINDOW
from benchmarks.serving.report import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.analysis.results import Delay, Results

_HOLDS = ("independent", "rare", "unequal load", "wave", "common episodes")
"""Traffic for which alpha is promised with a dispersion of 1."""


def render(results: Results, picture: str) -> str:
    """The whole page; `picture` is the path of the SVG as the page refers to it."""
    parts = [
        "# Statistics of verdicts, simulated",
        "<!-- Written by `python -m benchmarks.analysis.publish` from benchmarks/analysis/results.json; do not edit. -->",
        _introduction(results),
        *_false_rollbacks(results, picture),
        *_delays(results),
        *_costs(results),
        *_series(results),
        *_small_things(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _introduction(results: Results) -> str:
    lines = [
        f"`make bench-analysis` on {results.machine.date}: {results.seconds / 60:.1f} minutes of one core, seeds fixed. What is tested "
        "and why it holds is in [statistics.md](../statistics.md)."
    ]
    if results.quick:
        lines.append("**This was a quick run: it shows that the simulation works, and proves nothing.**")
    lines.append(
        "- *ours*: the candidate's share of bad requests is not above the stable version's (`ratio` 1, the strictest), looked at "
        "every second; all looks since the beginning count.\n"
        f"- *fixed threshold*, as Flagger and Argo Rollouts have it: every {WINDOW} s the candidate's share in that time must not be "
        f"above {BOUND:g} times the base rate; taken back when so many such checks failed. Its bound is set with knowledge of the true "
        "base rate, which users do not have.\n"
        "- *chi-squared*: Pearson's test of all counts so far, every second, as if it were the only look."
    )
    return "\n\n".join(lines)


def _false_rollbacks(results: Results, picture: str) -> Iterator[str]:
    if not results.refused:
        return
    rules = list(dict.fromkeys(one.rule for one in results.refused))
    yield "## False rollbacks"
    yield (
        f"Share of {results.runs} rollouts whose candidate is as good as the stable version and is taken back all the same, within "
        f"{results.looks:,} looks a second apart; {RATES[0]:g} and {RATES[1]:g} requests a second; alpha is {ALPHA:.0%}. "
        f"**Bold**: more than alpha. Chance moves a share of 5 % by {_error(results.runs):.1%} (standard error)."
    )
    yield table(
        ["traffic", *rules],
        (
            [
                f"**{kind}**: {words}" if kind in _HOLDS else f"{kind}: {words}",
                *[_bold(results.share(kind, rule)) for rule in rules],
            ]
            for kind, words in TRAFFICS.items()
        ),
    )
    worst = max(results.share(kind, "ours, dispersion 1") for kind in _HOLDS)
    yield (
        "In the five rows in bold, where a look's requests are independent and both versions are equally good at every look, the "
        f"promise is alpha = {ALPHA:.0%} with any dispersion; found at most {worst:.1%} with 1. *Ours* measures its dispersion of the "
        "stable version, from 2 on; the others have a fixed one. Groups that fail together are promised for with a dispersion of at "
        "least their size only: what is measured comes too late for the first ones. *Own episodes* are promised for with none: while a "
        "version has its episode it **is** worse, and the rule cannot know that it will be the other's turn; a dispersion and a `ratio` "
        "above 1 make it rarer "
        "only. 10,000 seconds are longer than most rollouts; in a few minutes all rules are wrong less often."
    )
    yield f"![False rollbacks and delays]({picture})"


def _delays(results: Results) -> Iterator[str]:
    if not results.delays:
        return
    rules = list(dict.fromkeys(one.rule for one in results.delays))
    yield "## Delays"
    yield (
        f"Seconds until a bad version is taken back: median / 90 % quantile of {results.delay_runs} rollouts that are bad from their first "
        f"second on; –: not within an hour. Alpha is {ALPHA_DELAYS:.0%} for ours and chi-squared; ten minutes of the stable version are "
        "known before. Where one failed check of a fixed threshold, or chi-squared, is faster than ours, see above what it does to equal "
        "versions; five failed checks take five minutes at least. At little traffic, and for twice as many bad requests, all that do not "
        "refuse equal versions are slow: there is too little to be seen."
    )
    cells = {(one.base, one.weight, one.requests, one.times, one.rule): one for one in results.delays}
    yield table(
        ["base rate", "weight", "requests/s", "times as many bad", *rules],
        (
            [
                f"{base:.1%}",
                f"{weight} %",
                f"{requests:,.0f}",
                f"{times:g}",
                *[_delay(cells[base, weight, requests, times, rule]) for rule in rules],
            ]
            for base, weight, requests, times in dict.fromkeys(key[:4] for key in cells)
        ),
    )


def _costs(results: Results) -> Iterator[str]:
    if not results.costs:
        return
    one = results.costs[0]
    yield "## What caution costs"
    yield (
        f"The same for {one.base * one.times:.0%} instead of {one.base:.0%} at {one.requests:g} requests/s, {one.weight} % of them to the "
        f"candidate, ours; where nothing else is said with alpha {ALPHA_DELAYS:.0%}, dispersion 1 and ratio 1."
    )
    yield table(["with", "median / 90 %"], ([cost.rule, _delay(cost)] for cost in results.costs))


def _series(results: Results) -> Iterator[str]:
    if not results.series:
        return
    rules = list(dict.fromkeys(one.rule for one in results.series))
    shares = {(one.what, one.rule): one.share for one in results.series}
    yield "## Series of windows"
    yield (
        f"Share of {results.series_runs} rollouts with equal versions that are taken back within {results.windows} windows, whose values "
        f"are correlated with those of the window before; alpha is {ALPHA:.0%}. *Each window*: the same test, Mann and Whitney's, at every "
        "window as if it were the only one."
    )
    names = dict.fromkeys(one.what for one in results.series)
    yield table(["correlation", *rules], ([name, *[_bold(shares[name, rule]) for rule in rules]] for name in names))


def _small_things(results: Results) -> Iterator[str]:
    if results.all_bad:
        yield "## A version that fails each request"
        yield "Requests to it until it is taken back: 1.5 times stable's 0.1 % is allowed, alpha is 1 %, every tenth request is its."
        yield table(["dispersion", "requests"], ([name, str(count)] for name, count in results.all_bad.items()))
    if results.look_microseconds:
        yield "## Processor time of a look"
        yield f"With its finding; load average of the machine before the run {results.machine.load_before}."
        yield table(["limits", "µs"], ([name, f"{value:.0f}"] for name, value in results.look_microseconds.items()))


def _bold(share: float) -> str:
    return f"**{share:.1%}**" if share > ALPHA else f"{share:.1%}"


def _error(runs: int) -> float:
    return float((ALPHA * (1 - ALPHA) / runs) ** 0.5)


def _delay(delay: Delay) -> str:
    return " / ".join("–" if value is None else f"{value:,.0f}" for value in (delay.median, delay.p90))
