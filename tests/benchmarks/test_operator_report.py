"""What a run of the operator's benchmark says: its page, its targets, its picture; and that the published ones are true."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from benchmarks.operator.plot import draw
from benchmarks.operator.publish import RESULTS, pages
from benchmarks.operator.report import render
from benchmarks.operator.results import read, write
from benchmarks.operator.targets import targets
from tests.benchmarks.operator_runs import REACTIONS, idle, load, reaction, results


def missed(**changes: object) -> list[str]:
    return [one.what for one in targets(results(**changes)) if not one.met]


def test_a_run_that_meets_everything_misses_nothing() -> None:
    found = targets(results())
    assert len(found) == 7
    assert all(one.met for one in found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reactions": (reaction("luntra", "noticed", 0.1, 1.0),)}, "new spec is noticed"),
        ({"reactions": (reaction("luntra", "told", *[0.1] * 98, 1.0, 1.0),)}, "deciding sample"),
        ({"reactions": (reaction("luntra", "edit", 0.1, never=1, within=60.0),)}, "somebody else"),
        ({"reactions": (reaction("luntra", "death", never=4, within=60.0),)}, "death of a pod"),
        ({"idle": (idle("luntra", 361), idle("flagger", 36_000, interval=10))}, "interval 10 s"),
        ({"idle": (idle("luntra", 0, lists=361), idle("flagger", 36_000, interval=10))}, "interval 10 s"),
        ({"loads": (load("luntra", 1050, 50, peak_bytes=513 << 20),)}, "memory"),
        ({"loads": (load("luntra", 1050, 50, cores=1.01),)}, "processor"),
    ],
)
def test_what_falls_short_is_missed_and_nothing_else(changes: dict[str, object], words: str) -> None:
    found = missed(**changes)
    assert len(found) == 1
    assert words in found[0]


def test_one_of_a_hundred_may_be_slow() -> None:
    assert not missed(reactions=(reaction("luntra", "told", *[0.1] * 99, 5.0),))


def test_samples_of_all_intervals_count_together() -> None:
    found = results(reactions=(reaction("luntra", "told", 0.1), reaction("luntra", "told", 3.0, interval=10)))
    together, slow = found.reaction("luntra", "told"), found.reaction("luntra", "told", 10)
    assert together is not None
    assert slow is not None
    assert (together.p99, slow.samples) == (3.0, (3.0,))
    assert found.reaction("flagger", "told") is None


def test_requests_of_an_hour_are_those_about_the_object_and_its_share_of_the_lists() -> None:
    assert idle("luntra", 100).hourly == 12
    assert idle("luntra", 90, lists=10).hourly == 12


def test_the_page_says_what_never_happened() -> None:
    page = render(results(), "x.svg")
    assert "**not within 60 s**: 3 of 3" in page
    assert "after 50 % instead of 20 % the next weight that it wrote, of the steps 20 and 60, was 100 %" in page


def test_the_page_says_what_an_object_costs() -> None:
    assert "Ours: +100.0 KiB and +0.10 thousandths of a core per idle object." in render(results(), "x.svg")
    assert "Theirs: +" not in render(results(), "x.svg")


def test_all_rows_of_a_table_have_the_columns_of_its_head() -> None:
    blocks = [block.splitlines() for block in render(results(), "x.svg").split("\n\n") if block.startswith("| ")]
    assert len(blocks) == 5
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1, block


def test_a_window_without_a_list_of_everything_is_owned_up_to() -> None:
    short = idle("luntra", 0)
    told = "is not in this window"
    assert told not in render(results(), "x.svg")
    assert told in render(results(idle=(short.__class__(**{**vars(short), "seconds": 60.0}),)), "x.svg")


def test_a_quick_run_is_called_one() -> None:
    assert "proves nothing" in render(results(quick=True), "x.svg")
    assert "proves nothing" not in render(results(), "x.svg")


def test_a_run_that_broke_off_says_why() -> None:
    told = "**This run broke off**, so that some of it is missing: it ended"
    assert told in render(results(broken_off="it ended\nTraceback"), "x.svg")
    assert "broke off" not in render(results(), "x.svg")


def test_a_part_alone_can_be_told() -> None:
    nothing = results(reactions=(), adoptions=(), costs=(), idle=(), loads=())
    assert "## Memory" not in render(nothing, "x.svg")
    assert not targets(nothing)
    ET.fromstring(draw(nothing))  # noqa: S314 - it is ours


def test_the_picture_has_a_point_for_each_size_and_a_line_for_each_contender() -> None:
    picture = ET.fromstring(draw(results()))  # noqa: S314 - it is ours
    space = "{http://www.w3.org/2000/svg}"
    points = [one for one in picture.iter(f"{space}circle") if one.get("class") == "luntra"]
    assert len(points) == 2 * 3
    assert sum(one.get("fill-opacity") == "0" for one in points) == 2
    [memory, _] = [one for one in picture.iter(f"{space}polyline") if one.get("class") == "luntra"]
    (_, low), (_, high) = (pair.split(",") for pair in memory.get("points", "").split())
    assert float(low) > float(high), "more memory is higher up"


def test_results_survive_being_written_and_read() -> None:
    assert read(write(results())) == results()
    assert REACTIONS[0].median == 0.006


def test_the_published_page_and_picture_are_of_the_published_results() -> None:
    published = read(RESULTS.read_bytes())
    for path, text in pages(published).items():
        assert path.read_text() == text, (
            f"{path.name} is not of results.json; run: python -m benchmarks.operator.publish"
        )
