"""What the demo leaves behind: the recording, the summary and the picture."""

from __future__ import annotations

import asyncio
import io
import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from e2e.demo.picture import clock, draw
from e2e.demo.recorder import Recorder, record
from e2e.demo.records import Answer, Outcome, Weight
from e2e.demo.summary import summarise, table, write

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"
V1 = {"revision": "r1", "version": "v1", "workload": "digits-w1"}
V2 = {"revision": "r2", "version": "v2", "workload": "digits-w2"}
V3 = {"revision": "r3", "version": "v3", "workload": "digits-w3"}
FIRST = {
    "revision": "r1",
    "version": "v1",
    "outcome": "Promoted",
    "reason": "Promoted",
    "startedAt": "2026-11-20T10:00:00Z",
    "finishedAt": "2026-11-20T10:00:05Z",
}
SECOND = FIRST | {
    "revision": "r2",
    "version": "v2",
    "startedAt": "2026-11-20T10:00:10Z",
    "finishedAt": "2026-11-20T10:01:00Z",
}
THIRD = SECOND | {"revision": "r3", "version": "v3", "outcome": "RolledBack", "reason": "EvaluationFailed"}


def document(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "digits", "namespace": "demo"}, "spec": {}, "status": status}


def traffic(workload: str, desired: int, written: int | None) -> dict[str, Any]:
    return {"workload": workload, "desired": desired, "written": written, "observed": None}


def test_the_candidates_written_weight_is_recorded_over_time() -> None:
    recorder = Recorder()
    recorder.saw(document(), 0)
    recorder.saw(document(stable=V1, traffic=traffic("digits-w1", 100, 100)), 1)
    recorder.saw(document(stable=V1, candidate=V2, traffic=traffic("digits-w1", 100, 100)), 2)
    recorder.saw(document(stable=V1, candidate=V2, traffic=traffic("digits-w2", 25, 5)), 3)
    recorder.saw(document(stable=V1, candidate=V2, traffic=traffic("digits-w2", 25, None)), 4)
    recorder.saw(document(stable=V2, previous=V1), 5)
    assert recorder.weights == [Weight(2, "v2", 0), Weight(3, "v2", 5), Weight(4, "v2", 25)]


def test_the_first_deployment_is_no_rollout() -> None:
    recorder = Recorder()
    recorder.saw(document(candidate=V1), 0)
    recorder.saw(document(stable=V1, history=[FIRST]), 1)
    recorder.saw(document(stable=V2, history=[SECOND, FIRST]), 2)
    assert [(one.version, one.outcome) for one in recorder.outcomes] == [("v2", "Promoted")]
    assert recorder.outcomes[0].finished - recorder.outcomes[0].started == 50


def test_a_refusal_is_kept_with_its_message_even_after_the_next_one() -> None:
    recorder = Recorder()
    told = {"rejectedRevision": "r3", "rejectedMessage": "accuracy 0.4"}
    recorder.saw(document(stable=V2, history=[THIRD], **told), 1)
    fourth = THIRD | {"revision": "r4", "version": "v4", "startedAt": "2026-11-20T10:03:00Z"}
    fourth |= {"finishedAt": "2026-11-20T10:04:00Z"}
    told = {"rejectedRevision": "r4", "rejectedMessage": "p99 91 ms"}
    recorder.saw(document(stable=V2, history=[fourth, THIRD], **told), 2)
    assert [(one.version, one.message) for one in recorder.outcomes] == [("v3", "accuracy 0.4"), ("v4", "p99 91 ms")]


async def test_recording_looks_once_more_after_it_was_stopped() -> None:
    recorder, stop, looks = Recorder(), asyncio.Event(), 0

    async def look() -> dict[str, Any] | None:
        nonlocal looks
        looks += 1
        if looks == 3:
            stop.set()
        return document(stable=V1, history=[SECOND]) if looks == 4 else None

    async with asyncio.timeout(10):
        await record(recorder, look, stop, clock=lambda: 1.0, interval=0.001)
    assert looks == 4
    assert len(recorder.outcomes) == 1


def answer(at: float, version: str, label: int = 1, predicted: int = 1, latency: float = 0.01, **more: Any) -> Answer:
    return Answer(at, latency, 200, version, label, predicted, **more)


ANSWERS = [
    *(answer(float(n), "v1", predicted=n % 2) for n in range(10)),
    *(answer(10.0 + n, "v2", latency=0.001 * (n + 1)) for n in range(100)),
    Answer(50.0, 0.5, 503, "", 1, None, "status 503: nobody <there> & gone"),
    Answer(51.0, 0.5, 500, "v5", 1, None, "status 500: the model failed"),
]
OUTCOMES = [
    Outcome("v2", "Promoted", "Promoted", "", 5.0, 55.0),
    Outcome("v3", "RolledBack", "EvaluationFailed", "accuracy 0.41 < 0.9 & more", 60.0, 70.5),
]


def test_the_summary_has_the_figures_that_were_promised() -> None:
    summary = summarise(ANSWERS, OUTCOMES)
    assert (summary["requests"], summary["client_errors"], summary["failed"]) == (112, 1, {"v5": 1})
    assert summary["promoted"] == ["v2"]
    assert summary["refused"] == [
        {"version": "v3", "reason": "EvaluationFailed", "message": "accuracy 0.41 < 0.9 & more"}
    ]
    assert summary["rollout_seconds"] == 50.0
    assert summary["versions"]["v1"] == {"requests": 10, "accuracy": 0.5, "p50_ms": 10.0, "p99_ms": 10.0}
    assert summary["versions"]["v2"] == {"requests": 100, "accuracy": 1.0, "p50_ms": 50.0, "p99_ms": 99.0}
    assert summary["errors"] == ["status 503: nobody <there> & gone"]


@pytest.mark.parametrize(
    ("status", "version", "failed"),
    [(500, "v5", True), (500, "", False), (504, "v5", False), (429, "v5", False), (0, "", False)],
)
def test_only_what_a_version_says_it_failed_on_is_not_lost(status: int, version: str, failed: bool) -> None:
    bad = Answer(1.0, 0.1, status, version, 1, None, "no answer")
    assert (bad.failed, bad.lost) == (failed, not failed)


def test_a_run_without_anything_is_summed_up_as_nothing() -> None:
    summary = summarise([], [])
    assert (summary["requests"], summary["promoted"], summary["rollout_seconds"]) == (0, [], None)


def test_the_summary_is_left_as_json(tmp_path: Path) -> None:
    write(summarise(ANSWERS, OUTCOMES), tmp_path / "build" / "summary.json")
    assert json.loads((tmp_path / "build" / "summary.json").read_text())["client_errors"] == 1


def test_the_table_shows_each_version_and_its_end() -> None:
    console = Console(width=120, file=(told := io.StringIO()))
    console.print(table(summarise(ANSWERS, OUTCOMES)))
    text = " ".join(told.getvalue().split())
    for expected in (
        "v1 10 50.00% 10.0 ms 10.0 ms first version",
        "v2 100 100.00% 50.0 ms 99.0 ms ✔ promoted in 50 s",
        "v3 0 – – – ✘ refused: EvaluationFailed accuracy 0.41",
        "112 requests in",
        "1 lost, 1 failed by v5",
    ):
        assert expected in text


def drawn(answers: list[Answer] = ANSWERS, weights: Any = (), outcomes: Any = OUTCOMES) -> ET.Element:
    return ET.fromstring(draw("digits <&>", answers, weights, outcomes))  # noqa: S314 - our own text


def texts(picture: ET.Element) -> list[str]:
    return ["".join(element.itertext()) for element in picture.iter(f"{SVG}text")]


def paths(picture: ET.Element, colour: str) -> str:
    return "".join(element.attrib["d"] for element in picture.iter(f"{SVG}path") if element.attrib["class"] == colour)


def test_the_picture_is_well_formed_and_says_what_happened() -> None:
    said = " | ".join(texts(drawn()))
    for expected in (
        "digits <&>",
        "112 requests, 1 lost, 1 failed by v5",
        "answered by v1",
        "answered by v2",
        "v2 promoted in 50 s",
        "v3 refused after 10 s: EvaluationFailed",
        "accuracy 0.41 < 0.9 & more",
    ):
        assert expected in said


def test_shares_fill_the_height_and_the_newest_version_is_at_the_bottom() -> None:
    answers = [answer(0.1, "v1"), answer(0.2, "v1"), answer(0.3, "v1"), answer(0.4, "v2"), answer(100.0, "v2")]
    picture = drawn(answers, outcomes=[])
    # y runs from 146 (100 %) to 446 (0 %): three quarters v1 above one quarter v2
    first_v2 = paths(picture, "v1").split("z")[0]
    first_v1 = paths(picture, "v0").split("z")[0]
    assert " 371.0H" in first_v2
    assert "V446.0" in first_v2
    assert " 146.0H" in first_v1
    assert "V371.0" in first_v1


def test_client_errors_are_seen() -> None:
    assert paths(drawn(), "error")
    assert not paths(drawn([a for a in ANSWERS if not a.error]), "error")


def test_the_weight_line_steps_and_ends_at_the_outcome() -> None:
    weights = [Weight(5, "v2", 0), Weight(20, "v2", 25), Weight(40, "v2", 50), Weight(60, "v3", 0)]
    picture = drawn(weights=weights)
    v2, v3 = [e.attrib["d"] for e in picture.iter(f"{SVG}path") if e.attrib["class"] == "weight"][1:]
    assert [part.split("H")[0] for part in v2.split("V")[1:]] == ["371.0", "296.0", "146.0"]
    assert v3.endswith("V446.0"), "a refused version ends at 0"


def test_a_long_message_is_cut_to_the_picture() -> None:
    outcome = Outcome("v3", "RolledBack", "EvaluationFailed", "x" * 500, 1, 2)
    assert max(len(text) for text in texts(drawn(outcomes=[outcome]))) < 160


def test_nothing_to_draw_is_an_error_that_says_why() -> None:
    with pytest.raises(ValueError, match="answers is empty"):
        draw("t", [], [], [])


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (125, "2:05"), (-1, "0:00")])
def test_times_are_minutes_and_seconds(seconds: float, text: str) -> None:
    assert clock(seconds) == text
