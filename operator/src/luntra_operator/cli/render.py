"""From a view to what `rich` draws: pure, and readable without colours too.

Texts from the cluster are never read as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from luntra_operator.api.vocabulary import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from luntra_operator.cli.view import Check, Condition, Metric, Past, Step, Traffic, Version, View

STABLE, CANDIDATE, PREVIOUS = "blue", "dark_orange", "grey58"
_ROLES = {"stable": STABLE, "candidate": CANDIDATE, "previous": PREVIOUS}
_GOOD, _BAD, _BUSY, _QUIET = "green", "red", "yellow", "dim"
_PHASES = {
    "Stable": _GOOD,
    "Soaking": _GOOD,
    "RollingBack": _BAD,
    "RolledBack": _BAD,
    "Pending": _QUIET,
    "Unobserved": _QUIET,
}
_VERDICTS = {
    "Pass": ("✔", _GOOD),
    "Fail": ("✘", _BAD),
    "NoData": ("?", _BUSY),
    "Error": ("!", _BAD),
    None: ("…", _BUSY),
}
_OUTCOMES = {"Promoted": ("✔", _GOOD), "RolledBack": ("✘", _BAD), "Superseded": ("»", _QUIET)}
_BAR = 40


def rollout(view: View) -> RenderableType:
    """Draw one ModelDeployment in full."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for index, (title, content) in enumerate(_sections(view)):
        if index:
            grid.add_row()
        grid.add_row(title, content)
    name = Text.assemble((view.name, "bold"), (f"  {view.namespace}", _QUIET))
    return Panel(Group(_headline(view), Text(), grid), title=name, title_align="left", box=ROUNDED, padding=(1, 2))


def listing(views: Sequence[View], *, with_namespace: bool) -> RenderableType:
    """Draw many ModelDeployments, a line each."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in (*(("NAMESPACE",) if with_namespace else ()), "NAME", "PHASE", "STABLE", "CANDIDATE"):
        table.add_column(column, no_wrap=True)
    table.add_column("TRAFFIC", justify="right", no_wrap=True)
    table.add_column("READY", justify="right", no_wrap=True)
    table.add_column("MESSAGE")
    for view in views:
        candidate, stable = view.version("candidate"), view.version("stable")
        table.add_row(
            *((Text(view.namespace),) if with_namespace else ()),
            Text(view.name, "bold"),
            _phase(view),
            Text(stable.version if stable else "–", STABLE),
            Text(candidate.version if candidate else "–", CANDIDATE if candidate else _QUIET),
            Text(f"{view.traffic.best_known} %" if view.traffic and candidate else "–"),
            _ready(stable) if stable else Text("–"),
            Text(
                next((one.message for one in view.conditions if one.type == "Ready"), ""),
                no_wrap=True,
                overflow="ellipsis",
            ),
        )
    return table


def _sections(view: View) -> Iterable[tuple[str, RenderableType]]:
    if view.traffic is not None:
        yield "Traffic", _traffic(view, view.traffic)
    if view.step is not None:
        yield "Step", _step(view.step)
    if view.versions:
        yield "Versions", _versions(view.versions)
    if view.checks:
        yield "Checks", _checks(view.checks)
    if view.metrics:
        yield "Metrics", _metrics(view.metrics)
    if view.refused is not None:
        refused = Text.assemble((f"✘ {view.refused.version}".rstrip(), _BAD), f"  {view.refused.reason}")
        refused.append(f"  revision {view.refused.revision}", _QUIET)
        yield "Refused", Group(refused, Text(view.refused.message))
    yield "Conditions", _conditions(view.conditions)
    if view.history:
        yield "History", _history(view.history)


def _headline(view: View) -> Text:
    line = _phase(view)
    if view.in_phase is not None:
        line.append(f" for {span(view.in_phase)}", _QUIET)
    line.append("    ")
    stable, candidate = view.version("stable"), view.version("candidate")
    if stable is not None:
        line.append(stable.version, f"bold {STABLE}")
    if candidate is not None:
        line.append(" → " if stable else "→ ")
        line.append(candidate.version, f"bold {CANDIDATE}")
    elif view.target and (stable is None or stable.version != view.target):
        line.append(f"  (asked for: {view.target})", _QUIET)
    if view.attempt:
        line.append(f"    rollout {view.attempt}", _QUIET)
    return line


def _phase(view: View) -> Text:
    text = Text.assemble((f"● {view.phase}", _PHASES.get(view.phase, _BUSY)))
    if view.paused:
        text.append(" (paused)", _BUSY)
    return text


def _traffic(view: View, traffic: Traffic) -> RenderableType:
    candidate, stable = view.version("candidate"), view.version("stable")
    share = traffic.best_known if candidate else 0
    filled = round(_BAR * share / 100)
    filled = max(filled, 1) if share else filled
    filled = min(filled, _BAR - 1) if share < 100 else filled
    bar = Text.assemble(("█" * filled, CANDIDATE), ("░" * (_BAR - filled), STABLE))
    who = Text()
    if candidate is not None:
        who.append(f"{candidate.version} {share} %", CANDIDATE)
        who.append("   ")
    who.append(f"{stable.version if stable else 'nobody'} {100 - share} %", STABLE)
    lines: list[RenderableType] = [bar, who]
    if candidate is not None:
        told = (("decided", traffic.desired), ("in the route", traffic.written), ("seen", traffic.observed))
        agree = len({n for _, n in told}) == 1
        text = " · ".join(f"{what} {'–' if n is None else f'{n} %'}" for what, n in told)
        lines.append(Text(f"candidate: {text}", _QUIET if agree else _BUSY))
    return Group(*lines)


def _step(step: Step) -> RenderableType:
    line = Text(f"{step.number} of {len(step.weights)}   ")
    for index, weight in enumerate(step.weights, 1):
        if index > 1:
            line.append(" ─ ", _QUIET)
        current = index == step.number
        style = f"bold {CANDIDATE}" if current else _QUIET if index > step.number else CANDIDATE
        line.append(f"[{weight} %]" if current else f"{weight} %", style)
    if step.hold is None:
        return line
    if step.held is None:
        return Group(line, Text(f"hold of {span(step.hold)} begins when the gateway follows", _QUIET))
    done = min(step.held / step.hold, 1.0) if step.hold else 1.0
    filled = int(20 * done)
    hold = Text.assemble("hold  ", ("━" * filled, CANDIDATE), ("─" * (20 - filled), _QUIET))
    hold.append(f"  {span(min(step.held, step.hold))} of {span(step.hold)}", _QUIET)
    return Group(line, hold)


def _versions(versions: Sequence[Version]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for version in versions:
        table.add_row(
            Text(version.role, _ROLES[version.role]),
            Text(version.version, "bold"),
            Text(version.workload),
            _ready(version).append(" ready"),
            Text(f"revision {version.revision}", _QUIET),
        )
    return table


def _ready(version: Version) -> Text:
    wanted = max(version.wanted, version.ready) if version.role == "previous" else version.wanted
    style = _GOOD if version.ready >= wanted else _BUSY if version.ready else _BAD
    return Text(f"{version.ready}/{wanted}", style)


def _checks(checks: Sequence[Check]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for check in checks:
        mark, style = ("!", _BUSY) if _without_comparison(check) else _VERDICTS.get(check.verdict, ("?", _BUSY))
        table.add_row(Text(f"{mark} {check.name}", style), Group(*_check(check)))
    return table


def _check(check: Check) -> Iterable[Text]:
    """What a check says; more of one that did not pass: figures and tries, or the end of its log where nothing was concluded."""
    running = f"running, try {check.attempt}" if check.attempt > 1 else "running"
    if check.verdict is None:
        yield Text(f"{running}: {check.message}" if check.message else running)
    elif (check.verdict == "Pass" and not _without_comparison(check)) or not check.message:
        yield Text(check.message or check.reason)
    else:
        yield Text.assemble((check.reason, "bold"), f"  {check.message}")
    if check.verdict == "Pass" and not _without_comparison(check):
        return
    for who, figures in check.figures:
        told = "   ".join(_figure(name, value) for name, value in figures.items())
        yield Text.assemble((f"{who:<11}", _ROLES[who]), told)
    for number, reason, message in check.tries:
        yield Text(f"try {number} could not be made: {reason}: {message}", _BUSY)
    for line in check.log if check.verdict in ("Error", "NoData") else ():
        yield Text(f"│ {line}", _QUIET, no_wrap=True, overflow="ellipsis")


def _metrics(metrics: Sequence[Metric]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for metric in metrics:
        mark, style = _VERDICTS.get(metric.verdict, ("?", _BUSY))
        told = Text(metric.message)
        if metric.verdict in ("NoData", "Error"):
            told = Text.assemble((metric.verdict, "bold"), f"  {metric.message}")
        if metric.told_only:
            told.append("  (dry run)", _QUIET)
        table.add_row(Text(f"{mark} {metric.name}", style), told)
    return table


def _without_comparison(check: Check) -> bool:
    """Whether it passed though a bound could not be applied."""
    return check.verdict == "Pass" and check.reason == Reason.STABLE_NOT_COMPARED


def _figure(name: str, value: float) -> str:
    words = {
        "p50Ms": f"p50 {value:.3g} ms",
        "p99Ms": f"p99 {value:.3g} ms",
        "throughput": f"{value:.4g} requests/s",
        "errorRate": f"{value:.2%} errors",
    }
    return words.get(name, f"{name} {value:.4g}")


def _conditions(conditions: Sequence[Condition]) -> RenderableType:
    if not conditions:
        return Text("the operator has not looked at this object yet; is it running?", _BUSY)
    table = Table.grid(padding=(0, 2))
    said: set[str] = set()
    for one in conditions:
        good = (one.status == "True") != (one.type in ("Reconciling", "Stalled", "OverBudget"))
        bad = _BUSY if one.type == "Reconciling" or one.reason == "Progressing" else _BAD
        message = one.message if one.message not in said else ""
        said.add(one.message)
        table.add_row(Text(one.type), Text(one.status, _GOOD if good else bad), Text(one.reason), Text(message, _QUIET))
    return table


def _history(history: Sequence[Past]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for past in history:
        mark, style = _OUTCOMES.get(past.outcome, ("·", _QUIET))
        took = f"in {span(past.took)}" if past.took is not None else ""
        ago = f"{span(past.ago)} ago" if past.ago is not None else ""
        table.add_row(
            Text(f"{mark} {past.outcome}", style),
            Text(past.version, "bold"),
            Text(past.reason),
            Text(took),
            Text(ago, _QUIET),
        )
    return table


def span(duration: float) -> str:
    """Write seconds as people say them, in at most two units: `45s`, `1m 12s`, `3h 5m`, `2d 4h`."""
    rest = int(duration)
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    for index, (unit, size) in enumerate(units):
        if rest >= size or unit == "s":
            whole, rest = divmod(rest, size)
            if index + 1 < len(units) and (smaller := rest // units[index + 1][1]):
                return f"{whole}{unit} {smaller}{units[index + 1][0]}"
            return f"{whole}{unit}"
    raise AssertionError("unreachable: seconds always fit")
