"""What is counted of requests, and that both views of it agree."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from luntra_serving.server.admission import Admission
from luntra_serving.server.main import parse
from luntra_serving.server.protocol.response import model_statistics
from luntra_serving.swap.version import Identity
from luntra_serving.telemetry.access import AccessLog
from luntra_serving.telemetry.metrics import ServingMetrics
from luntra_serving.telemetry.stats import BOUNDS, Execution, Spent, Stats, VersionStats
from tests.serving.asking import Asked, Model
from tests.serving.processes import ServerProcess, get, post, until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luntra_serving.bundle.verify import Bundle


def identity(version: str, revision: str | None = None, digest: str = "sha256:0123456789abcdef") -> Identity:
    return Identity(version, digest, revision)


def test_request_is_in_flight_until_it_has_ended() -> None:
    stats = VersionStats()
    stats.begin()
    stats.begin()
    stats.end(200, 0.01)
    assert (stats.to_json()["inFlight"], stats.to_json()["requests"]) == (1, 1)


def test_revisions_that_share_a_versions_name_do_not_mix() -> None:
    metrics = ServingMetrics()
    for one in (identity("v1", "aaa"), identity("v1", "bbb"), identity("v1", None, "sha256:ccccccccccccccc")):
        for _ in one.tag:
            metrics.stats.begin("m", one).end(200, 0.001)
    assert [(one.tag, stats.ended) for one, stats in metrics.stats.of("m").items()] == [
        ("aaa", 3),
        ("bbb", 3),
        ("cccccccccc", 10),
    ]
    assert metrics.stats.of("other") == {}
    samples = {
        sample.labels["revision"]: sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.name == "luntra_inference_requests_total"
    }
    assert samples == {"aaa": 3, "bbb": 3, "cccccccccc": 10}


def test_requests_that_shared_an_execution_count_it_once_and_its_parts_each() -> None:
    stats = VersionStats()
    shared = Execution(3, input=0.1, infer=0.2, output=0.3)
    for code, queue in ((504, 9.0), (200, 1.0), (200, 2.0)):
        stats.begin()
        stats.end(code, 3.0, Spent(queue, shared))
    stats.end(200, 1.0, Spent(0.0, Execution(1, input=1.0, infer=1.0, output=1.0)))
    [said] = model_statistics([("m", "v1", stats)])["model_stats"]
    assert (said["inference_count"], said["execution_count"]) == (3, 2)
    assert said["batch_stats"] == [
        {"batch_size": 1, **parts(1, 1000, 1000, 1000)},
        {"batch_size": 3, **parts(1, 100, 200, 300)},
    ]
    assert said["inference_stats"] == {
        "queue": {"count": 3, "ns": 3_000_000_000},
        **parts(3, 1200, 1400, 1600),
        "success": {"count": 3, "ns": 7_000_000_000},
        "fail": {"count": 1, "ns": 3_000_000_000},
    }
    assert (stats.to_json()["queueSeconds"], stats.to_json()["executions"]) == (3.0, 2)


def parts(count: int, *milliseconds: int) -> dict[str, Any]:
    names = ("compute_input", "compute_infer", "compute_output")
    return {name: {"count": count, "ns": ms * 1_000_000} for name, ms in zip(names, milliseconds, strict=True)}


def test_execution_whose_requests_all_came_too_late_counts_for_nobody() -> None:
    stats = VersionStats()
    stats.end(504, 1.0, Spent(0.5, Execution(1, input=0.1, infer=0.2)))
    assert (stats.executions, stats.queue_seconds, stats.parts.count) == (0, 0.0, 0)


async def test_requests_know_how_long_they_waited_and_what_they_shared() -> None:
    class Slow(Model):
        def infer(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
            time.sleep(0.02)
            return super().infer(inputs)

    model = Slow()
    admission = Admission(workers=1, max_queue=9, max_batch=4)
    model.go.clear()
    first = Asked(admission, model, 0)
    await asyncio.to_thread(model.begun.wait, 10)
    others = [Asked(admission, model, value) for value in (1, 2)]
    await asyncio.sleep(0.05)
    model.go.set()
    for one in (first, *others):
        await one.outcome()
    spent = [one.spent for one in (first, *others) if one.spent]
    assert [one.execution.requests for one in spent] == [1, 2, 2]
    assert spent[1].execution is spent[2].execution
    assert spent[1].queue >= 0.05
    assert spent[0].execution.infer >= 0.05
    assert spent[1].execution.infer >= 0.02
    for part in (spent[0].execution.input, spent[0].execution.output):
        assert 0 < part < spent[0].execution.infer


def test_statistics_of_a_slow_model_say_that_it_is_the_model(spinner: Bundle) -> None:
    tensor = {"name": "rounds", "datatype": "INT64", "shape": [1], "data": [300]}
    with ServerProcess(spinner.folder) as server:
        server.wait_ready()
        began = time.monotonic()
        for _ in range(3):
            assert post(server.address, "/v2/models/spinner/infer", {"inputs": [tensor]}).status == 200
        took = (time.monotonic() - began) * 1e9
        [said] = json.loads(get(server.address, "/v2/models/spinner/stats").body)["model_stats"]
        [managed] = json.loads(get(server.management, "/v1/models/spinner/stats").body)["versions"]
    ns = {name: part["ns"] for name, part in said["inference_stats"].items()}
    assert {part["count"] for name, part in said["inference_stats"].items() if name != "fail"} == {3}
    assert 0.5 * ns["success"] < ns["compute_infer"] < took
    assert 0 < ns["queue"] + ns["compute_input"] + ns["compute_infer"] + ns["compute_output"] <= ns["success"]
    assert min(ns["queue"], ns["compute_input"], ns["compute_output"]) > 0
    [batch] = said["batch_stats"]
    assert (said["execution_count"], batch["batch_size"], batch["compute_infer"]["count"]) == (3, 1, 3)
    assert managed["executions"] == 3
    assert managed["queueSeconds"] == pytest.approx(ns["queue"] / 1e9, abs=1e-8)


def test_requests_of_a_preview_are_answered_and_counted_apart(spinner: Bundle) -> None:
    """Breaks if whoever tries a candidate out has a say in what becomes of it."""
    question = {"inputs": [{"name": "rounds", "datatype": "INT64", "shape": [1], "data": [1]}]}
    with ServerProcess(spinner.folder) as server:
        server.wait_ready()
        for headers in ({}, {"x-luntra-preview": "true"}, {"x-luntra-preview": "true"}):
            assert post(server.address, "/v2/models/spinner/infer", question, headers).status == 200
        [managed] = json.loads(get(server.management, "/v1/models/spinner/stats").body)["versions"]
        exposed = get(server.management, "/metrics").body.decode()
    assert managed["requests"] == 1
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
        if sample.name.endswith("_requests_total")
    }
    assert values == {"luntra_inference_requests_total": 1, "luntra_preview_requests_total": 2}


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
    stats.begin("m", identity("held"))
    for number in range(1000):
        stats.begin("m", identity(f"v{number}")).end(200, 0.001)
    names = [one.version for _, one, _ in stats.items()]
    assert len(names) == 32
    assert "held" in names
    assert names[-1] == "v999"


def test_version_that_is_asked_now_and_then_keeps_its_numbers_among_a_thousand_others() -> None:
    stats, asked = Stats(), 0
    for number in range(1000):
        for _ in range(number % 2):
            stats.begin("m", identity("stable")).end(200, 0.001)
            asked += 1
        stats.begin("m", identity(f"v{number}")).end(200, 0.001)
        stats.begin("other", identity(f"v{number}")).end(200, 0.001)
    assert asked == 500
    assert stats.of("m")[identity("stable")].ended == 500


def test_numbers_of_a_model_that_is_gone_go_with_it() -> None:
    metrics = ServingMetrics()
    for model in ("m", "other"):
        metrics.stats.begin(model, identity("v1"))
        metrics.shadow_stats.begin(model, identity("v1"))
    metrics.forget("m")
    assert [model for stats in (metrics.stats, metrics.shadow_stats) for model, _, _ in stats.items()] == ["other"] * 2


def test_prometheus_reads_the_same_numbers() -> None:
    metrics = ServingMetrics()
    for code, seconds in ((200, 0.004), (200, 0.6), (500, 20.0)):
        metrics.stats.begin("m", identity("v1")).end(code, seconds)
    metrics.stats.begin("m", identity("v1"))
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
        codes: dict[str, int] = found["versions"][0]["codes"]
        return codes

    before = read()
    post(points_server.address, "/v2/models/points/infer", b"{}")
    assert read().get("400", 0) == before.get("400", 0) + 1


def test_restarted_server_is_told_from_one_whose_counters_fell(points: Bundle) -> None:
    def read(server: ServerProcess) -> dict[str, Any]:
        return json.loads(get(server.management, "/v1/models/points/stats").body)

    with ServerProcess(points.folder) as server:
        before = read(server.wait_ready())
        assert [(one["since"], one["requests"], one["codes"]) for one in before["versions"]] == [(None, 0, {})]
        post(server.address, "/v2/models/points/infer", b"{}")
        after = read(server)
        assert get(server.management, "/v1/models/lines/stats").status == 404
    assert before["instance"] == after["instance"]
    [counted] = after["versions"]
    assert (counted["version"], counted["revision"], counted["digest"]) == ("v1", None, points.digest)
    assert after["startedAt"] < counted["since"] < after["at"]
    with ServerProcess(points.folder) as server:
        again = read(server.wait_ready())
    assert again["instance"] != after["instance"]
    assert again["startedAt"] > after["startedAt"]


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
