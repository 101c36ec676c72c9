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
from luntra_serving.errors import PermanentLoadError, Reason
from luntra_serving.server.cores import usable_cores
from luntra_serving.server.desired import identity_of
from luntra_serving.server.document import Target
from luntra_serving.server.loading import TargetLoader
from luntra_serving.server.settings import Settings
from luntra_serving.server.termination import write_termination
from luntra_serving.swap.budget import Budget, Size
from luntra_serving.swap.events import EventLog
from luntra_serving.swap.loading import LoadFailedError
from luntra_serving.swap.reclaimer import Reclaimer
from luntra_serving.swap.states import State, VersionStatus
from luntra_serving.swap.swapper import Swapper
from luntra_serving.telemetry.logs import _JsonFormatter

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
    def load(self, bundle: Bundle, tmp_path: Path, uri: str, waits: list[float]) -> VersionStatus:
        target = Target(version="v1", uri=uri, digest=bundle.digest)
        settings = Settings(document=tmp_path / "d", cache_dir=tmp_path / "cache")
        reclaimer = Reclaimer()
        swapper: Swapper[ReadyModel] = Swapper(
            "points",
            close=lambda model: model.loaded.close(),
            reclaimer=reclaimer,
            budget=Budget(Size(host=1 << 30)),
            events=EventLog(),
        )
        identity = identity_of(target)
        load = swapper.load(identity, TargetLoader(settings, target, 1, waits.append))
        self.problem = load.outcome.exception(60)
        reclaimer.stop()
        return swapper.statuses()[identity]

    def test_a_source_that_stays_away_is_asked_for_about_25_seconds(self, points: Bundle, tmp_path: Path) -> None:
        waits: list[float] = []
        status = self.load(points, tmp_path, (tmp_path / "none").as_uri(), waits)
        assert isinstance(self.problem, LoadFailedError)
        assert not self.problem.permanent
        assert 20 <= sum(waits) <= 30
        assert waits == sorted(waits)
        assert (status.state, status.reason) == (State.FAILED, "SourceUnavailable")

    def test_a_permanent_failure_is_not_retried(self, points: Bundle, tmp_path: Path) -> None:
        waits: list[float] = []
        (points.folder / "model.yaml").write_text("changed")
        self.load(points, tmp_path, points.folder.as_uri(), waits)
        assert isinstance(self.problem, LoadFailedError)
        assert self.problem.permanent
        assert waits == []

    def test_a_load_that_works_is_ready_with_its_stages(self, points: Bundle, tmp_path: Path) -> None:
        status = self.load(points, tmp_path, points.folder.as_uri(), [])
        assert self.problem is None
        assert (status.state, status.identity.digest) == (State.READY, points.digest)
        assert set(status.stages) == {"fetch", "load", "self-test"}
