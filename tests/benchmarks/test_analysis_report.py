"""What a run of the simulation says: its page and its picture; and that the published ones are true."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

from benchmarks.analysis.plan import DISPERSIONS, Plan
from benchmarks.analysis.plot import draw
from benchmarks.analysis.publish import RESULTS, pages
from benchmarks.analysis.report import render
from benchmarks.analysis.results import Results, read, write
from benchmarks.analysis.simulate import all_bad, false_rollbacks, series_false_rollbacks
from luntra_operator.analysis.looks import DISPERSION
from tests.benchmarks.runs import MACHINE

TINY = Plan(runs=4, looks=70, delay_runs=4, delay_looks=5, series_runs=2, windows=8)


def published() -> Results:
    return read(RESULTS.read_bytes())


def test_the_published_page_and_picture_are_of_the_published_results() -> None:
    for path, text in pages(published()).items():
        assert path.read_text() == text, (
            f"{path.name} is not of results.json; run: python -m benchmarks.analysis.publish"
        )


def test_what_is_promised_was_found() -> None:
    """The promise of docs/statistics.md, in the run that is shown there."""
    found = published()
    assert DISPERSION in DISPERSIONS, "the default is not among what was simulated"
    for kind in ("independent", "rare", "unequal load", "wave", "common episodes"):
        for dispersion in DISPERSIONS:
            assert found.share(kind, f"ours, dispersion {dispersion}") <= 0.05
        assert found.share(kind, "ours") <= 0.05
    assert found.share("bursty", "ours, dispersion 10") <= 0.05
    assert found.share("independent", "chi-squared") > 0.05
    assert found.all_bad == all_bad()


def test_same_seeds_tell_the_same() -> None:
    assert list(false_rollbacks(TINY)) == list(false_rollbacks(TINY))
    assert list(series_false_rollbacks(TINY)) == list(series_false_rollbacks(TINY))


def test_a_part_alone_can_be_told() -> None:
    nothing = Results(MACHINE, quick=True, runs=1, looks=1, delay_runs=1, windows=1, series_runs=1)
    page = render(nothing, "x.svg")
    assert "proves nothing" in page
    assert "## Delays" not in page
    ET.fromstring(draw(nothing))  # noqa: S314 - it is ours


def test_all_rows_of_a_table_have_the_columns_of_its_head() -> None:
    blocks = [block.splitlines() for block in render(published(), "x.svg").split("\n\n") if block.startswith("| ")]
    assert len(blocks) == 6
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1, block


def test_what_is_above_alpha_is_bold() -> None:
    found = published()
    worse = replace(found, refused=tuple(replace(one, share=0.5) for one in found.refused))
    assert render(worse, "x.svg").count("**50.0%**") == len(found.refused)


def test_results_survive_being_written_and_read() -> None:
    assert read(write(published())) == published()
