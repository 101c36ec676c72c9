"""What a run's page, its targets and its picture say, and that the published ones are of the published results."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from benchmarks.serving.plot import draw
from benchmarks.serving.publish import RESULTS, pages
from benchmarks.serving.report import render
from benchmarks.serving.results import Windows, read, write
from benchmarks.serving.targets import targets
from tests.benchmarks.runs import COST, MACHINE, QUIET, cells, results, swaps


def missed(**changes: object) -> list[str]:
    return [one.what for one in targets(results(**changes)) if one.met is False]


def parsed(picture: str) -> ET.Element:
    return ET.fromstring(picture)  # noqa: S314 - it is ours


def test_a_run_that_meets_everything_misses_nothing() -> None:
    found = targets(results())
    assert len(found) == 8
    assert all(one.met for one in found)
    assert next(one for one in found if "16 connections" in one.what).found == "3.00 ×"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"throughput": (*cells("luntra", 7900.0, 15000.0), *cells("triton", 4000.0, 4000.0))}, "16 connections"),
        ({"throughput": cells("luntra", 9000.0, 9900.0)}, "one process"),
        ({"swaps": (swaps("luntra", 0.0013),)}, "p99 during"),
        ({"swaps": (swaps("luntra", 0.001, resets=1),)}, "resets"),
        ({"swaps": (swaps("luntra", 0.001, wrong=1),)}, "wrong"),
        ({"swaps": (swaps("luntra", 0.001, broken_off="it stood still"),)}, "failed"),
        ({"swaps": (swaps("luntra", 0.001, windows=None, control=None, saturated=True),)}, "requests/s"),
        ({"swap_cost": replace(COST, acquire_release=3.1e-7)}, "hold and release"),
        ({"swap_cost": replace(COST, promote=2.1e-5)}, "promote"),
        ({"swap_cost": replace(COST, rollback_request=1e-3)}, "rollback"),
    ],
)
def test_what_falls_short_is_missed_and_nothing_else(changes: dict[str, object], words: str) -> None:
    found = missed(**changes)
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    "noise",
    [
        {"control": Windows(QUIET, replace(QUIET, p99=0.0013))},
        {"control": Windows(QUIET, replace(QUIET, p99=0.0008))},
        {"windows": Windows(replace(QUIET, p99=0.006), replace(QUIET, p99=0.006))},
    ],
)
def test_a_busy_machine_decides_nothing_about_stalls(noise: dict[str, Windows]) -> None:
    run = results(swaps=(swaps("luntra", 0.0011, **noise),))
    assert [one.what for one in targets(run) if one.met is None] == ["p99 during a change / before, 200 requests/s"]
    assert "**undecided**" in render(run, "x.svg")
    assert "too busy with other things" in render(run, "x.svg")
    assert "undecided" not in render(results(), "x.svg")


@pytest.mark.parametrize(("p99", "met"), [(0.0025, None), (0.0027, False)])
def test_stall_far_above_the_noise_is_missed_on_a_busy_machine_too(p99: float, met: bool | None) -> None:
    busy = Windows(QUIET, replace(QUIET, p99=0.0013))
    run = results(swaps=(swaps("luntra", p99, control=busy),))
    [target] = [one for one in targets(run) if one.what.startswith("p99 during a change")]
    assert target.met is met


def test_the_best_peer_counts_and_not_the_last() -> None:
    peers = (*cells("mlserver", 9000.0, 9000.0), *cells("kserve", 500.0, 500.0))
    found = targets(results(throughput=(*cells("luntra", 12000.0, 15000.0), *peers)))
    assert "(mlserver)" in found[0].what
    assert not found[0].met


def test_the_page_names_what_was_missed() -> None:
    page = render(results(swaps=(swaps("luntra", 0.002),)), "x.svg")
    line = next(line for line in page.splitlines() if line.startswith("| p99 during a change"))
    assert (
        line == "| p99 during a change / before, 200 requests/s | ≤ 1.2 | 2.00 (without a change: 1.00) | **missed** |"
    )


def test_the_page_shows_medians_with_their_spread() -> None:
    assert "| Theirs | 1,000 (900 to 1,100) | 4,000 (3,600 to 4,400) | 4,000 (3,600 to 4,400) |" in render(
        results(), "x"
    )


def test_all_rows_of_a_table_have_the_columns_of_its_head() -> None:
    slow = swaps("triton", 1.0, saturated=True, windows=None, control=None)
    fixed = swaps("triton", 1.0, windows=None, control=None)
    stuck = swaps("triton", 1.0, swaps=38, broken_off="it stood still")
    page = render(results(swaps=(swaps("luntra", 0.001), slow, fixed, stuck)), "x.svg")
    blocks = [block.splitlines() for block in page.split("\n\n") if block.startswith("| ")]
    assert blocks
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1, block
    assert "does not keep up with this rate at rest" in page
    assert "restart only" in page
    assert "| 38, then broken off: it stood still |" in page


def test_the_page_says_when_the_machine_was_busy_or_the_run_quick() -> None:
    assert "was not idle" not in render(results(), "x.svg")
    assert "quick run" not in render(results(), "x.svg")
    page = render(results(machine=replace(MACHINE, load_before=2.5), quick=True), "x.svg")
    assert "load average was 2.5" in page
    assert "proves nothing" in page


def test_a_run_of_one_server_alone_can_be_told() -> None:
    alone = results(throughput=cells("luntra", 9.0, 9.0), swaps=(), swap_cost=None)
    assert "## Throughput" in render(alone, "x.svg")
    assert parsed(draw(alone)) is not None


def test_the_bars_are_as_long_as_the_rates() -> None:
    picture = parsed(draw(results(swaps=())))
    bars = [one for one in picture.iter("{http://www.w3.org/2000/svg}rect") if one.get("class") != "paper"]
    widths = [float(one.get("width", "0")) for one in bars]
    assert widths[1] == max(widths)
    assert widths[0] / widths[1] == pytest.approx(12000 / 15000, abs=0.01)
    assert widths[2] / widths[1] == pytest.approx(4000 / 15000, abs=0.01)


def test_results_survive_being_written_and_read() -> None:
    assert read(write(results())) == results()


def test_the_published_page_and_picture_are_of_the_published_results() -> None:
    published = read(RESULTS.read_bytes())
    assert not published.quick
    for path, text in pages(published).items():
        assert path.read_text() == text, (
            f"{path.name} is not of results.json; run: python -m benchmarks.serving.publish"
        )
