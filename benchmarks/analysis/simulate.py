"""Simulate rollouts by the thousand, and see which rule takes back which of them, and when."""

from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import mannwhitneyu

from benchmarks.analysis.plan import (
    ALPHA,
    ALPHA_DELAYS,
    BASE,
    BASES,
    CORRELATIONS,
    DISPERSIONS,
    REQUESTS,
    TIMES,
    TRAFFICS,
    WEIGHTS,
    Plan,
)
from benchmarks.analysis.results import Delay, Refused
from benchmarks.analysis.rules import ChiSquared, FixedThreshold, Ours, Rule
from benchmarks.analysis.traffic import Traffic, steady
from luntra_operator.analysis.evidence import Counts
from luntra_operator.analysis.proportions import Limits, Proportions
from luntra_operator.analysis.series import Series, SeriesLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SEED = 20261121
_HISTORY = 600
"""Seconds of the stable version alone that are known before a rollout."""
_ENOUGH = 0.92
"""Of the rollouts: when so many are taken back, the 90 % quantile is known."""


def false_rollbacks(plan: Plan) -> Iterator[Refused]:
    """How often each rule takes back a version that is as good as the stable one, looking every second."""
    for kind in TRAFFICS:
        base = BASE / 10 if kind == "rare" else BASE
        rules: dict[str, Rule] = {f"ours, dispersion {d}": Ours(plan.runs, ALPHA, d) for d in DISPERSIONS}
        rules["ours"] = Ours(plan.runs, ALPHA, 2, measured=True)
        rules["ours, ratio 1.5"] = Ours(plan.runs, ALPHA, 2, 1.5, measured=True)
        rules |= {f"fixed threshold, {n} failed": FixedThreshold(plan.runs, base, n) for n in (1, 5)}
        rules["chi-squared"] = ChiSquared(plan.runs, ALPHA)
        refused = {name: np.zeros(plan.runs, dtype=bool) for name in rules}
        traffic = Traffic(kind, plan.runs, _SEED)
        for _ in range(plan.looks):
            candidate, stable = traffic.second()
            for name, rule in rules.items():
                refused[name] |= rule.after(candidate, stable)
        yield from (Refused(kind, name, float(found.mean())) for name, found in refused.items())


def delays(plan: Plan) -> Iterator[Delay]:
    """How long each rule takes for versions that are so much worse, at so much traffic."""
    for base in BASES:
        for weight in WEIGHTS:
            for requests in REQUESTS:
                for times in TIMES:
                    rules: dict[str, Callable[[Counts], Rule]] = {
                        "ours, dispersion 1": lambda history: Ours(plan.delay_runs, ALPHA_DELAYS, history=history),
                        "ours": lambda history: Ours(plan.delay_runs, ALPHA_DELAYS, 2, history=history, measured=True),
                        "fixed threshold, 1 failed": _threshold(plan, base, 1),
                        "fixed threshold, 5 failed": _threshold(plan, base, 5),
                        "chi-squared": lambda _: ChiSquared(plan.delay_runs, ALPHA_DELAYS),
                    }
                    yield from _delay(plan, base, times, requests, weight, rules)


def _threshold(plan: Plan, base: float, failures: int) -> Callable[[Counts], Rule]:
    return lambda _: FixedThreshold(plan.delay_runs, base, failures)


def costs(plan: Plan) -> Iterator[Delay]:
    """What alpha, a margin, a dispersion and good beginnings cost, at 1 %, five times as much, 10 requests a second to the candidate."""
    variants: dict[str, tuple[float, float, float, int]] = {
        f"alpha {alpha:g}": (alpha, 1, 1.0, 0) for alpha in (0.1, 0.05, 0.01, 0.0025, 0.001)
    }
    variants |= {f"dispersion {d}": (ALPHA_DELAYS, d, 1.0, 0) for d in DISPERSIONS[1:]}
    variants |= {f"ratio {ratio:g}": (ALPHA_DELAYS, 1, ratio, 0) for ratio in (1.5, 2.0, 3.0)}
    variants |= {f"bad only after {good:,} s": (ALPHA_DELAYS, 1, 1.0, good) for good in (100, 1000)}
    for name, (alpha, dispersion, ratio, good) in variants.items():

        def begin(history: Counts, *, a: float = alpha, d: float = dispersion, r: float = ratio) -> Rule:
            return Ours(plan.delay_runs, a, d, r, history)

        yield from _delay(plan, BASE, 5, 100, 10, {name: begin}, good)


def _delay(
    plan: Plan,
    base: float,
    times: float,
    requests: float,
    weight: int,
    rules: dict[str, Callable[[Counts], Rule]],
    good: int = 0,
) -> Iterator[Delay]:
    random, runs = np.random.default_rng(_SEED), plan.delay_runs
    rate, stable_rate = requests * weight / 100, requests * (100 - weight) / 100
    history = steady(random, requests * _HISTORY, base, runs)
    going = {name: begin(history) for name, begin in rules.items()}
    first = {name: np.full(runs, np.inf) for name in rules}
    for _ in range(good):
        candidate, stable = steady(random, rate, base, runs), steady(random, stable_rate, base, runs)
        for rule in going.values():
            rule.after(candidate, stable)
    for second in range(1, plan.delay_looks + 1):
        candidate, stable = steady(random, rate, base * times, runs), steady(random, stable_rate, base, runs)
        for name, rule in list(going.items()):
            first[name][rule.after(candidate, stable) & np.isinf(first[name])] = second
            if np.isfinite(first[name]).mean() >= _ENOUGH:
                del going[name]
        if not going:
            break
    for name, found in first.items():
        median, p90 = (
            float(value) if np.isfinite(value) else None
            for value in np.quantile(found, (0.5, 0.9), method="inverted_cdf")
        )
        yield Delay(name, base, times, requests, weight, median, p90, float(np.isinf(found).mean()))


def series_false_rollbacks(plan: Plan) -> Iterator[Refused]:
    """The same for series of windows, whose neighbours are correlated: ours, and the test repeated at each window."""
    for correlation in CORRELATIONS:
        random = np.random.default_rng(_SEED)
        shape = (plan.series_runs, 2)
        values = [random.normal(size=shape)]
        for _ in range(plan.windows - 1):
            fresh = random.normal(size=shape) * (1 - correlation**2) ** 0.5
            values.append(correlation * values[-1] + fresh)
        windows = 10 + np.array(values)
        yield Refused(
            f"{correlation:g}", "ours", float(np.mean([_ours(windows[:, run]) for run in range(plan.series_runs)]))
        )
        naive = np.zeros(plan.series_runs, dtype=bool)
        for count in range(5, plan.windows + 1):
            found = mannwhitneyu(
                windows[:count, :, 0], windows[:count, :, 1], alternative="greater", method="asymptotic", axis=0
            )
            naive |= found.pvalue <= ALPHA
        yield Refused(f"{correlation:g}", "each window", float(naive.mean()))


def _ours(windows: np.ndarray) -> bool:
    series = Series.start(SeriesLimits(ratio=1.0, effect=0.0), ALPHA)
    for candidate, stable in windows:
        series = series.after(float(candidate), float(stable))
        if series.test.p <= ALPHA:
            return True
    return False


def all_bad() -> dict[str, int]:
    """Requests to a version that fails each until it is taken back: every tenth request is its, 0.1 % of the others fail."""
    found = {}
    for dispersion in DISPERSIONS:
        process = Proportions.start(Limits(ratio=1.5), ALPHA_DELAYS, dispersion).known(Counts(10, 10_000))
        count = 0
        while process.finding.verdict != "Fail":
            process, count = process.after(Counts(1, 1), Counts(0, 9)), count + 1
        found[str(dispersion)] = count
    return found


def look_microseconds(looks: int = 100, batches: int = 20) -> dict[str, float]:
    """Processor time of one look and its finding, in the batch that was disturbed least."""
    found = {}
    for name, limits in {
        "most": Limits(most=0.05),
        "ratio": Limits(ratio=1.5),
        "increase and ratio": Limits(increase=0.01, ratio=1.5),
        "all three": Limits(most=0.05, increase=0.01, ratio=1.5),
    }.items():
        process, took = Proportions.start(limits, ALPHA_DELAYS, measured=True), []
        for _ in range(batches):
            began = process_time()
            for second in range(looks):
                process = process.after(Counts(second % 70 == 0, 3), Counts(0, 30))
                _ = process.finding
            took.append((process_time() - began) / looks * 1e6)
        found[name] = round(min(took), 1)
    return found
