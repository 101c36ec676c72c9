"""What perf_analyzer and a server's statistics say, read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from benchmarks.serving import grpc_loop
from benchmarks.serving.grpc_loop import Counts, counts, reported_rate
from benchmarks.serving.process import Reply
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from benchmarks.serving.models import Model
    from benchmarks.serving.peers.protocol import Running

FIGURES = "Concurrency,Inferences/Second,Client Send,p99 latency\n16,2768.66,34,9402\n"


def test_rate_is_that_of_the_only_row() -> None:
    assert reported_rate(FIGURES) == 2768.66


@pytest.mark.parametrize("figures", ["", FIGURES.splitlines()[0], FIGURES + "64,1,1,1\n", "Concurrency\n16\n"])
def test_no_result_is_told_as_such(figures: str) -> None:
    with pytest.raises(HarnessError, match="reported no result"):
        reported_rate(figures)


def answer(monkeypatch: pytest.MonkeyPatch, status: int, body: bytes) -> Counts:
    monkeypatch.setattr(grpc_loop, "ask", lambda *_: Reply(status, {}, body))

    class Here:
        port, name = 1, "points"

    here: Any = Here()
    return counts(cast("Running", here), cast("Model", here))


def test_counts_are_those_of_all_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [
        {"inference_stats": {"success": {"count": good}, "fail": {"count": bad}}} for good, bad in ((5, 1), (7, 0))
    ]
    assert answer(monkeypatch, 200, json.dumps({"model_stats": versions}).encode()) == Counts(12, 1)


def test_server_without_statistics_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HarnessError, match="answered with 404"):
        answer(monkeypatch, 404, b"{}")
