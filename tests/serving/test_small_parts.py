"""Durations, cores, logs, termination messages, and the retries of a load with a clock that does not tick."""

from __future__ import annotations

import contextlib
import gc
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
from luntra_serving.server.footprint import Footprints, resident_memory
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


class TestFootprints:
    def test_what_a_load_took_beyond_its_files_is_expected_of_the_next_one(self) -> None:
        resident = iter([1000, 1700])
        footprints = Footprints(lambda: next(resident))
        assert footprints.expected("m", 500) == Size(host=500)
        with footprints.measure("m", 500):
            pass
        assert footprints.expected("m", 600) == Size(host=800)
        assert footprints.expected("other", 600) == Size(host=600)

    @pytest.mark.parametrize(("before", "after"), [(1000, 900), (None, None)])
    def test_version_never_counts_for_less_than_its_files(self, before: int | None, after: int | None) -> None:
        resident = iter([before, after])
        footprints = Footprints(lambda: next(resident))
        with footprints.measure("m", 500):
            pass
        assert footprints.expected("m", 500) == Size(host=500)

    def test_two_loads_at_a_time_are_not_measured(self) -> None:
        resident = iter(range(0, 10_000, 1000))
        footprints = Footprints(lambda: next(resident))
        with footprints.measure("a", 1), footprints.measure("b", 1):
            pass
        assert footprints.expected("a", 1) == footprints.expected("b", 1) == Size(host=1)
        with footprints.measure("a", 1):
            pass
        assert footprints.expected("a", 1) == Size(host=1000)

    def test_load_that_fails_teaches_nothing_and_is_over(self) -> None:
        resident = iter([0, 1000, 3000])
        footprints = Footprints(lambda: next(resident))
        with contextlib.suppress(OSError), footprints.measure("a", 1):
            raise OSError
        with footprints.measure("a", 1):
            pass
        assert footprints.expected("a", 1) == Size(host=2000)

    def test_resident_memory_grows_with_what_is_allocated(self) -> None:
        before = resident_memory()
        ballast = b"x" * (64 << 20)
        after = resident_memory()
        assert before is not None
        assert after is not None
        assert len(ballast) * 0.9 < after - before < len(ballast) * 1.5


class TestRetries:
    def load(self, bundle: Bundle, tmp_path: Path, uri: str, waits: list[float]) -> VersionStatus:
        target = Target(version="v1", uri=uri, digest=bundle.digest)
        settings = Settings(documents=(tmp_path / "d",), cache_dir=tmp_path / "cache")
        reclaimer = Reclaimer()
        swapper: Swapper[ReadyModel] = Swapper(
            "points",
            close=lambda model: model.loaded.close(),
            reclaimer=reclaimer,
            budget=Budget(Size(host=1 << 30)),
            events=EventLog(),
        )
        identity = identity_of(target)
        load = swapper.load(identity, TargetLoader(settings, "points", target, 1, Footprints(), waits.append))
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
        assert set(status.stages) == {"fetch", "load", "warm-up", "self-test"}

    def test_library_that_comes_with_a_load_is_left_out_of_garbage_collections_once(
        self, points: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gc.unfreeze()
        monkeypatch.delitem(sys.modules, "luntra_serving.backends.onnx")
        try:
            self.load(points, tmp_path, points.folder.as_uri(), [])
            frozen = gc.get_freeze_count()
            self.load(points, tmp_path, points.folder.as_uri(), [])
            assert frozen > 0
            assert gc.get_freeze_count() <= frozen
        finally:
            gc.unfreeze()
