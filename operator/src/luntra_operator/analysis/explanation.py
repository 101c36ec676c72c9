"""A finding in one line that a person understands: "error rate 4.1 % of 812 vs 0.3 % of 7,402 on stable (p = 2e-9)".

Shares have two digits that mean something, and never read 0 % or 100 % where they are not; a p is rounded up, never down.
"""

from math import ceil, floor, log10

from .proportions import Finding, Limits

_LEAST_P = 1e-99
_FEW = 1e-4
"""Shares below this many percent are written as powers of ten."""


def explain(finding: Finding, noun: str, stable_noun: str = "stable") -> str:
    """Put a finding about `noun` (such as "error rate") into words."""
    limits = finding.limits
    told = f"{noun} {percent(finding.share)} of {count(finding.samples)}" if finding.samples else f"{noun} of 0"
    if limits.compared:
        share = f"{percent(finding.stable_share)} of " if finding.stable_share is not None else ""
        told += f" vs {share}{count(finding.stable_samples)} on {stable_noun}"
    if finding.verdict == "NoData":
        return f"{told}: {_missing(finding, stable_noun)}"
    if finding.verdict == "Fail":
        told += f", {_bounds(limits, stable_noun, finding.broken == 'most')}"
    return f"{told} ({chance(finding.p)})"


def percent(share: float) -> str:
    """A share from 0 to 1 in percent: "0.3 %", "4.1 %", "52 %", "99.97 %", "0.0012 %", "2e-05 %"."""
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f} %"
    if value < _FEW:
        return f"{value:.0e} %"
    to_an_end = min(value, 100 - value)
    digits = max(0, 1 - floor(log10(to_an_end)))
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") + " %" if digits else f"{value:.0f} %"


def count(samples: float) -> str:
    """A number of requests: "812", "7,402"."""
    return f"{samples:,.0f}"


def chance(p: float) -> str:
    """A p with one digit: "p = 0.02", "p = 2e-9"."""
    if p >= 1:
        return "p = 1"
    if p < _LEAST_P:
        return "p < 1e-99"
    power = floor(log10(p))
    digit = ceil(p / 10.0**power - 1e-9)
    if digit > 9:
        digit, power = 1, power + 1
    return f"p = {digit * 10.0**power:.{-power}f}" if power > -3 else f"p = {digit}e{power}"


def _bounds(limits: Limits, stable_noun: str, by_most: bool) -> str:
    if by_most and limits.most is not None:
        return f"more than {percent(limits.most)}"
    increase = None if limits.increase is None else f"more than {percent(limits.increase)[:-1]}pp above {stable_noun}"
    ratio = None if limits.ratio is None else f"more than {limits.ratio:.3g} times {stable_noun}"
    return " and ".join(one for one in (increase, ratio) if one)


def _missing(finding: Finding, stable_noun: str) -> str:
    least = finding.limits.least_samples
    sides = [("", finding.samples)] + (
        [(f" on {stable_noun}", finding.stable_samples)] if finding.limits.compared else []
    )
    return " and ".join(f"{count(ceil(least - have))} more{where}" for where, have in sides if have < least) + " needed"
