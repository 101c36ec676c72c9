"""What is counted of requests, and that both views of it agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from luntra_serving.server.main import parse
from luntra_serving.telemetry.access import AccessLog
from luntra_serving.telemetry.metrics import ServingMetrics
from luntra_serving.telemetry.stats import BOUNDS, Stats, VersionStats
from tests.serving.processes import ServerProcess, get, post, until

if TYPE_CHECKING:
    from luntra_serving.bundle.verify import Bundle


def test_request_is_in_flight_until_it_has_ended() -> None:
    stats = VersionStats()
    stats.begin()
    stats.begin()
    stats.end(200, 0.01)
    assert (stats.to_json()["inFlight"], stats.to_json()["requests"]) == (1, 1)


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, 0.0001), (0.0001, 0.0001), (0.00011, 0.0002), (10, 10), (11, None)]
)
def test_time_is_counted_in_every_bucket_that_holds_it(seconds: float, bound: float | None) -> None:
    stats = VersionStats()
    stats.end(200, seconds)
    buckets = stats.to_json()["latency"]["buckets"]
    assert next(entry[0] for entry in buckets if entry[1]) == bound
    assert [entry[0] for entry in buckets] == [*BOUNDS, None]
    assert buckets == sorted(buckets, key=lambda entry: entry[1])


def test_numbers_of_a_thousand_versions_do_not_pile_up() -> None:
    stats = Stats()
    stats.of("m", "held").begin()
    for number in range(1000):
        stats.of("m", f"v{number}").end(200, 0.001)
        stats.of("m", f"v{number}").begun = 1
    names = [version for (_, version), _ in stats.items()]
    assert len(names) == 64
    assert "held" in names
    assert names[-1] == "v999"


def test_prometheus_reads_the_same_numbers() -> None:
    metrics = ServingMetrics()
    for code, seconds in ((200, 0.004), (200, 0.6), (500, 20.0)):
        metrics.started("m", "v1")
        metrics.finished("m", "v1", code, seconds)
    metrics.started("m", "v1")
    samples = {
        (sample.name, sample.labels.get("code") or sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.labels.get("version") == "v1"
    }
    assert samples["luntra_inference_requests_total", "200"] == 2
    assert samples["luntra_inference_requests_total", "500"] == 1
    assert samples["luntra_inference_in_flight", None] == 1
    assert samples["luntra_inference_duration_seconds_bucket", "0.005"] == 1
    assert samples["luntra_inference_duration_seconds_bucket", "10.0"] == 2
    assert samples["luntra_inference_duration_seconds_bucket", "+Inf"] == 3
    assert samples["luntra_inference_duration_seconds_count", None] == 3
    assert samples["luntra_inference_duration_seconds_sum", None] == pytest.approx(20.604)


def test_management_port_gives_the_statistics_of_each_version(points_server: ServerProcess) -> None:
    def read() -> dict[str, int]:
        found = json.loads(get(points_server.management, "/v1/models/points/stats").body)
        codes: dict[str, int] = found["versions"].get("v1", {"codes": {}})["codes"]
        return codes

    before = read()
    post(points_server.address, "/v2/models/points/infer", b"{}")
    assert read().get("400", 0) == before.get("400", 0) + 1


def test_what_the_process_is_doing_is_told(points_server: ServerProcess) -> None:
    tensor = {"name": "points", "datatype": "FP32", "shape": [1, 3], "data": [0, 1, 2]}
    assert post(points_server.address, "/v2/models/points/infer", {"inputs": [tensor]}).status == 200
    assert points_server.metric("luntra_inference_queue") == 0
    assert points_server.metric("luntra_inference_batch_size_count") > 0
    assert points_server.metric('luntra_model_resident_bytes{memory="host",model="points",version="v1"}') > 0
    until(lambda: points_server.metric("luntra_event_loop_lag_seconds_count") > 0, "the loop's lag")


def test_access_log_says_which_version_answered_which_request(points: Bundle) -> None:
    with ServerProcess(points.folder, "--access-log", "1") as server:
        post(server.wait_ready().address, "/v2/models/points/infer", b"{}", {"x-request-id": "r-7"})
        until(lambda: any(entry["message"] == "answered" for entry in server.logs), "the line")
        [line] = [entry for entry in server.logs if entry["message"] == "answered"]
    assert (line["request"], line["version"], line["code"]) == ("r-7", "v1", 400)
    assert line["ms"] > 0


def test_access_log_of_a_share_is_a_sample(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "luntra_serving.telemetry.access"):
        for _ in range(1000):
            AccessLog(0.2).note("m", "v1", 200, 0.001, None)
            AccessLog().note("m", "v2", 200, 0.001, None)
    assert 100 < len(caplog.records) < 320
    assert {record.__dict__["version"] for record in caplog.records} == {"v1"}


@pytest.mark.parametrize("share", ["2", "-1", "all", "nan"])
def test_share_that_is_none_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["bundle", "--access-log", share])
    assert "is not a share; use a number from 0" in capsys.readouterr().err
