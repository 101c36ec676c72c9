"""The demo in figures: pure, from records to `summary.json` and a table.

A client error is a request that was lost: no version has answered it well, and none has said that it failed on it. What a version
failed on is counted for itself, for that is why versions are refused. Percentiles are by nearest rank over good answers.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from e2e.demo.records import Answer, Outcome, versions_of
from luntra_operator.checks.tally import nearest_rank

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Summary = dict[str, Any]


def summarise(answers: Sequence[Answer], outcomes: Sequence[Outcome]) -> Summary:
    """Sum up a run.

    Keys: `client_errors`, `requests`, `seconds` (of load), `promoted` (versions, in order), `refused` (version, reason and
    message each), `failed` (requests by the version that failed on them), `rollout_seconds` (of the last promotion, from the
    change of the object to 100 %; null without one), `rollouts` (all, with seconds), `versions` (per version: requests,
    accuracy, p50_ms, p99_ms) and `errors` (the first few texts of lost requests).
    """
    lost = [answer for answer in answers if answer.lost]
    promoted = [one for one in outcomes if one.outcome == "Promoted"]
    begin = min((answer.at for answer in answers), default=0.0)
    end = max((answer.at + answer.latency for answer in answers), default=0.0)
    return {
        "client_errors": len(lost),
        "failed": dict(Counter(answer.version for answer in answers if answer.failed)),
        "requests": len(answers),
        "seconds": round(end - begin, 1),
        "promoted": [one.version for one in promoted],
        "refused": [
            {"version": one.version, "reason": one.reason, "message": one.message}
            for one in outcomes
            if one.outcome == "RolledBack"
        ],
        "rollout_seconds": round(promoted[-1].finished - promoted[-1].started, 1) if promoted else None,
        "rollouts": [
            {"version": one.version, "outcome": one.outcome, "seconds": round(one.finished - one.started, 1)}
            for one in outcomes
        ],
        "versions": {version: _figures(version, answers) for version in versions_of(answers)},
        "errors": [answer.error for answer in lost[:5]],
    }


def _figures(version: str, answers: Sequence[Answer]) -> dict[str, Any]:
    good = [answer for answer in answers if answer.version == version and not answer.error]
    latencies = sorted(answer.latency for answer in good)
    right = sum(answer.predicted == answer.label for answer in good)
    return {
        "requests": len(good),
        "accuracy": round(right / len(good), 4) if good else None,
        "p50_ms": round(1000 * nearest_rank(latencies, 0.50), 2) if good else None,
        "p99_ms": round(1000 * nearest_rank(latencies, 0.99), 2) if good else None,
    }


def write(summary: Summary, path: Path) -> None:
    """Write the summary as JSON for people and programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def table(summary: Summary) -> RenderableType:
    """Draw the summary for the terminal."""
    versions = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    versions.add_column("VERSION")
    for column in ("ANSWERS", "ACCURACY", "P50", "P99"):
        versions.add_column(column, justify="right")
    versions.add_column("OUTCOME")
    ends = {one["version"]: _ending(one, summary) for one in summary["rollouts"]}
    for version in dict.fromkeys((*summary["versions"], *ends)):
        figures = summary["versions"].get(version, {"requests": 0, "accuracy": None, "p50_ms": None, "p99_ms": None})
        versions.add_row(
            Text(version, "bold"),
            f"{figures['requests']:,}",
            "–" if figures["accuracy"] is None else f"{figures['accuracy']:.2%}",
            *("–" if figures[key] is None else f"{figures[key]:.1f} ms" for key in ("p50_ms", "p99_ms")),
            ends.get(version, Text("first version", "dim")),
        )
    errors = summary["client_errors"]
    total = Text.assemble(
        f"{summary['requests']:,} requests in {summary['seconds']:.0f} s, ",
        (f"{errors} lost", "bold green" if errors == 0 else "bold red"),
        *(f", {count} failed by {version}" for version, count in summary["failed"].items()),
    )
    return Group(versions, total, *(Text(f"  {error}", "red") for error in summary["errors"]))


def _ending(rollout: dict[str, Any], summary: Summary) -> Text:
    if rollout["outcome"] == "Promoted":
        return Text(f"✔ promoted in {rollout['seconds']:.0f} s", "green")
    refused = next((one for one in summary["refused"] if one["version"] == rollout["version"]), None)
    if rollout["outcome"] == "RolledBack" and refused is not None:
        return Text.assemble((f"✘ refused: {refused['reason']}", "red"), (f"  {refused['message']}", "dim"))
    return Text(rollout["outcome"].lower(), "dim")
