"""Durations, cores, logs, termination messages, and the retries of a load with a clock that does not tick."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luntra_serving.durations import format_duration, parse_duration
from luntra_serving.errors import PermanentLoadError, Reason, TransientLoadError
from luntra_serving.server.cores import usable_cores
from luntra_serving.server.document import Document, Target
from luntra_serving.server.loading import Loading
from luntra_serving.server.settings import Settings
from luntra_serving.server.termination import write_termination
from luntra_serving.swap.route import RouteSlot
from luntra_serving.swap.versions import State, VersionBoard
from luntra_serving.telemetry.logs import _JsonFormatter
from luntra_serving.telemetry.metrics import ServingMetrics

if TYPE_CHECKING:
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle
    from luntra_serving.server.model import ReadyModel


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5),
        ("1m30s", 90),
        ("2h", 7200),
        ("1.5s", 1.5),
        ("0", 0),
        ("250us", 0.00025),
        ("1h0m1s", 3601),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-1s", "1d", "1s2", "ms5", "1..5s"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="such as 500ms, 5s or 1m30s"):
        parse_duration(text)


@given(st.integers(1, 10**7))
def test_a_printed_duration_reads_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=6e-4)


class TestCores:
    @pytest.mark.parametrize(("quota", "cores"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", None)])
    def test_a_container_with_a_quota_uses_no_more_than_that(
        self, tmp_path: Path, quota: str, cores: int | None
    ) -> None:
        (tmp_path / "cpu.max").write_text(quota + "\n")
        assert usable_cores(tmp_path) == (cores or usable_cores(tmp_path / "none"))

    def test_the_older_layout_of_cgroups_is_read_too(self, tmp_path: Path) -> None:
        (tmp_path / "cpu").mkdir()
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text("30000\n")
        (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
        assert usable_cores(tmp_path) == 1


class TestLastWords:
    ERROR = PermanentLoadError(Reason.SELF_TEST_FAILED, "xü" * 5000)

    def test_they_go_where_the_environment_says_and_fit_into_4096_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        write_termination(self.ERROR, {"LUNTRA_TERMINATION_LOG": str(path)})
        assert path.read_bytes().startswith(b"SelfTestFailed: x\xc3\xbc")
        assert len(path.read_bytes()) <= 4096
        path.read_text()  # whole characters only

    def test_a_place_that_cannot_be_written_is_no_second_failure(self, tmp_path: Path) -> None:
        write_termination(self.ERROR, {"LUNTRA_TERMINATION_LOG": str(tmp_path / "no" / "log")})


def test_a_json_log_line_carries_its_fields_and_the_exception() -> None:
    logger = logging.getLogger("luntra_serving.test")
    try:
        int("why")
    except ValueError:
        record = logger.makeRecord(
            "n", logging.ERROR, __file__, 1, "it %s", ("broke",), sys.exc_info(), extra={"fix": "x"}
        )
    entry = json.loads(_JsonFormatter().format(record))
    assert (entry["message"], entry["level"], entry["fix"]) == ("it broke", "error", "x")
    assert "ValueError: invalid literal" in entry["exception"]


class TestRetries:
    def loading(self, bundle: Bundle, tmp_path: Path, uri: str, waits: list[float]) -> Loading:
        target = Target(version="v1", uri=uri, digest=bundle.digest)
        document = Document(generation=1, model="points", stable=target)
        settings = Settings(document=tmp_path / "d", cache_dir=tmp_path / "cache")
        slot: RouteSlot[ReadyModel] = RouteSlot()
        return Loading(settings, document, 1, VersionBoard(), slot, ServingMetrics(), waits.append)

    def test_a_source_that_stays_away_is_asked_for_about_25_seconds(self, points: Bundle, tmp_path: Path) -> None:
        waits: list[float] = []
        loading = self.loading(points, tmp_path, (tmp_path / "none").as_uri(), waits)
        failure = loading.run()
        assert isinstance(failure, TransientLoadError)
        assert 20 <= sum(waits) <= 30
        assert waits == sorted(waits)
        assert loading.board.read()["v1"].state is State.FAILED
        assert loading.slot.current.stable is None

    def test_a_permanent_failure_is_not_retried(self, points: Bundle, tmp_path: Path) -> None:
        waits: list[float] = []
        (points.folder / "model.yaml").write_text("changed")
        failure = self.loading(points, tmp_path, points.folder.as_uri(), waits).run()
        assert isinstance(failure, PermanentLoadError)
        assert waits == []

    def test_a_load_that_works_is_published_with_its_stages(self, points: Bundle, tmp_path: Path) -> None:
        loading = self.loading(points, tmp_path, points.folder.as_uri(), [])
        assert loading.run() is None
        served = loading.slot.current.stable
        assert served is not None
        assert (served.version, served.digest) == ("v1", points.digest)
        assert set(loading.board.read()["v1"].stages) == {"fetch", "load", "self-test"}
