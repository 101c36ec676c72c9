"""The verdict on its way to the operator: JSON in the container's termination message, and the same on stdout.

Kubernetes keeps 4096 bytes of a termination message and cuts the rest off
(https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/), which would break the JSON: so
it is the text that is shortened here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luntra_operator.checks.verdict import Verdict

LARGEST = 4096
LARGEST_LOG = 1500
"""Bytes of the log's last lines in a report, so that there is room for figures and message."""
FINAL = frozenset(
    {
        "InvalidConfiguration",
        "DatasetTooLarge",
        "DatasetDigestMismatch",
        "InvalidDataset",
        "DatasetMismatch",
        "UnclearOutput",
        "UnsupportedInput",
    }
)
"""Reasons why another try is not worth it: nothing would be different."""
VARIABLE = "LUNTRA_TERMINATION_LOG"
DEFAULT_PATH = "/dev/termination-log"


def document(verdict: Verdict) -> str:
    """Write a verdict as JSON of at most 4096 bytes, with a message and a log that are shortened where need be."""
    content: dict[str, Any] = {
        "check": verdict.check,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "message": verdict.message,
        "samples": verdict.samples,
        "candidate": _figures(verdict.candidate),
        "stable": None if verdict.stable is None else _figures(verdict.stable),
        "final": verdict.verdict in ("Pass", "Fail") or verdict.reason in FINAL,
        "stableFailed": verdict.stable_failed,
        "log": _tail(verdict.log),
    }
    message = verdict.message
    while len((text := json.dumps(content, ensure_ascii=False)).encode()) > LARGEST and message:
        message = message[: len(message) * 3 // 4]
        content["message"] = f"{message}…"
    return text


def _tail(log: tuple[str, ...]) -> list[str]:
    """Give the last lines that fit."""
    lines = list(log)
    while len(json.dumps(lines, ensure_ascii=False).encode()) > LARGEST_LOG:
        del lines[0]
    return lines


def _figures(figures: dict[str, float]) -> dict[str, float | None]:
    return {name: float(f"{value:.6g}") if math.isfinite(value) else None for name, value in figures.items()}


def leave(verdict: Verdict, environment: dict[str, str]) -> None:
    """Write the termination message; a missing or read-only file is no error, stdout has the same."""
    path = Path(environment.get(VARIABLE, DEFAULT_PATH))
    try:
        path.write_text(document(verdict), encoding="utf-8")
    except OSError as error:
        print(f"the verdict cannot be written to {path}: {error.strerror}", flush=True)


def exit_code(verdict: Verdict) -> int:
    """0 where the check reached a conclusion; 1 where it could not be made."""
    return 0 if verdict.verdict in ("Pass", "Fail") else 1
