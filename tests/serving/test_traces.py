"""Spans of inferences, as a collector gets them from a real server."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from tritonclient.grpc import service_pb2, service_pb2_grpc

from luntra_serving.server.main import parse
from luntra_serving.telemetry.logs import _Seldom
from tests.serving.bundles import POINTS, points_bundle
from tests.serving.collector import Collector, Received
from tests.serving.processes import ServerProcess, post, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle

INFER = "/v2/models/points/infer"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
"""Milliseconds that a span waits for others, instead of five seconds."""


def question(rows: int = 2) -> dict[str, Any]:
    data = POINTS[:rows].tolist()
    return {"inputs": [{"name": "points", "datatype": "FP32", "shape": [rows, 3], "data": data}]}


def message(**changes: Any) -> service_pb2.ModelInferRequest:
    contents = {"fp32_contents": POINTS.reshape(-1)}
    entry = {"name": "points", "datatype": "FP32", "shape": [2, 3], "contents": contents, **changes}
    return service_pb2.ModelInferRequest(model_name="points", inputs=[entry])


def arrived(collector: Collector, spans: int) -> list[Received]:
    """Wait until so many spans are there."""
    until(lambda: len(collector.received) >= spans, f"{spans} spans")
    assert len(collector.received) == spans
    return collector.received


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


@pytest.fixture
def server(points: Bundle, collector: Collector) -> Iterator[ServerProcess]:
    """A server over both protocols that sends its spans at once."""
    arguments = (points.folder, "--grpc-port", "0", "--otlp", collector.address)
    with ServerProcess(*arguments, environment=AT_ONCE) as started:
        yield started.wait_ready()


class TestSpans:
    def test_inference_over_http_is_a_span_below_the_callers(self, server: ServerProcess, collector: Collector) -> None:
        before = time.time_ns()
        headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}
        assert post(server.address, INFER, question(), headers).status == 200
        after = time.time_ns()
        [received] = arrived(collector, 1)
        span = received.span
        assert (span.name, span.kind) == ("inference", Span.SpanKind.SPAN_KIND_SERVER)
        assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, PARENT, "vendor=1")
        assert before < span.start_time_unix_nano < span.end_time_unix_nano < after
        assert received.attributes == {
            "model_id": "points",
            "model_version": "v1",
            "backend": "onnx",
            "device": "cpu",
            "status_code": 200,
        }
        assert span.status.code == Status.StatusCode.STATUS_CODE_UNSET
        assert received.resource["service.name"] == "luntra-serve"

    def test_inference_over_grpc_is_a_span_below_the_callers(self, server: ServerProcess, collector: Collector) -> None:
        with grpc.insecure_channel(server.grpc) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            stub.ModelInfer(message(), metadata=(("traceparent", TRACEPARENT),))
            with pytest.raises(grpc.RpcError, match="does not fit"):
                stub.ModelInfer(message(shape=[2, 4]))
        good, bad = arrived(collector, 2)
        assert (good.span.trace_id.hex(), good.span.parent_span_id.hex()) == (TRACE, PARENT)
        assert good.attributes["backend"] == "onnx"
        assert [one.attributes["status_code"] for one in (good, bad)] == [200, 400]
        assert bad.span.trace_id.hex() != TRACE
        assert bad.span.parent_span_id == b""

    def test_time_of_a_span_is_that_of_its_request(self, spinner: Bundle, collector: Collector) -> None:
        entry = {"name": "rounds", "datatype": "INT64", "shape": [1]}
        body: dict[str, Any] = {"inputs": [{**entry, "data": [400]}]}
        with ServerProcess(spinner.folder, "--otlp", collector.address, environment=AT_ONCE) as server:
            server.wait_ready()
            assert post(server.address, "/v2/models/spinner/infer", body).status == 200
            [received] = arrived(collector, 1)
            counted = server.metric('luntra_inference_duration_seconds_sum{model="spinner",version="v1"}')
        seconds = (received.span.end_time_unix_nano - received.span.start_time_unix_nano) / 1e9
        assert seconds == pytest.approx(counted, abs=1e-6)

    def test_only_what_is_the_servers_fault_is_an_error(self, tmp_path: Path, collector: Collector) -> None:
        outputs = [{"name": "probabilities", "datatype": "FP32", "shape": [2, 2]}]
        inputs = [{"name": "points", "datatype": "FP32", "shape": [-1, 3]}]
        bundle = points_bundle(tmp_path / "strict", interface={"inputs": inputs, "outputs": outputs})
        with ServerProcess(bundle.folder, "--otlp", collector.address, environment=AT_ONCE) as server:
            server.wait_ready()
            assert post(server.address, INFER, question(rows=1)).status == 500
            assert post(server.address, INFER, {"inputs": []}).status == 400
            found = arrived(collector, 2)
        codes = {one.attributes["status_code"]: one.span.status.code for one in found}
        assert codes == {500: Status.StatusCode.STATUS_CODE_ERROR, 400: Status.StatusCode.STATUS_CODE_UNSET}

    def test_headers_that_are_no_trace_context_begin_a_new_trace(
        self, server: ServerProcess, collector: Collector
    ) -> None:
        wrong = ["", "x", "ü" * 600, f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01"]
        for value in wrong:
            headers = {"traceparent": value, "tracestate": "\x80=;,,"}
            assert post(server.address, INFER, question(), headers).status == 200
        found = arrived(collector, len(wrong))
        assert {one.span.parent_span_id for one in found} == {b""}
        assert len({one.span.trace_id for one in found}) == len(wrong)
        assert [entry for entry in server.logs if entry["level"] != "info"] == []

    def test_caller_that_does_not_sample_is_followed(self, server: ServerProcess, collector: Collector) -> None:
        assert post(server.address, INFER, question(), {"traceparent": f"00-{TRACE}-{PARENT}-00"}).status == 200
        assert post(server.address, INFER, question()).status == 200
        [received] = arrived(collector, 1)
        assert received.span.parent_span_id == b""


class TestEnvironment:
    def test_it_has_the_last_word(self, points: Bundle, collector: Collector) -> None:
        environment = {
            **AT_ONCE,
            "OTEL_SERVICE_NAME": "digits",
            "OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=pod-1,service.name=other",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a",
        }
        # A slash at the address' end is no other address.
        with ServerProcess(points.folder, "--otlp", collector.address + "/", environment=environment) as server:
            post(server.wait_ready().address, INFER, question())
            [received] = arrived(collector, 1)
        assert received.resource["service.name"] == "digits"
        assert received.resource["k8s.pod.name"] == "pod-1"
        assert received.headers["x-tenant"] == "a"

    def test_sampler_takes_its_share(self, points: Bundle, collector: Collector) -> None:
        environment = {**AT_ONCE, "OTEL_TRACES_SAMPLER": "parentbased_always_off"}
        with ServerProcess(points.folder, "--otlp", collector.address, environment=environment) as server:
            server.wait_ready()
            post(server.address, INFER, question())
            post(server.address, INFER, question(), {"traceparent": TRACEPARENT})
            [received] = arrived(collector, 1)
        assert received.span.trace_id.hex() == TRACE


class TestTrouble:
    def test_collector_that_is_not_there_costs_no_request_and_few_lines(self, points: Bundle) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        environment = {**AT_ONCE, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2"}  # so that it fails again and again
        with ServerProcess(points.folder, "--otlp", nobody, environment=environment) as server:
            server.wait_ready()

            def failed() -> list[dict[str, Any]]:
                return [entry for entry in server.logs if entry["logger"].startswith("opentelemetry.exporter")]

            assert {post(server.address, INFER, question()).status for _ in range(200)} == {200}
            until(failed, "the failure to be told")
            assert {post(server.address, INFER, question()).status for _ in range(200)} == {200}
            server.terminate()
            assert server.wait(10) == 0
        told = [entry["message"] for entry in server.logs if entry["logger"].startswith("opentelemetry")]
        assert any(words.startswith("Failed to export span") for words in told), told
        assert len(told) <= 4, told  # of four hundred failures
        assert "Traceback" not in "".join(server.lines)

    def test_collector_that_hangs_holds_up_neither_requests_nor_the_end(self, points: Bundle) -> None:
        environment = {**AT_ONCE, "OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}
        with (
            Collector(hangs=True) as collector,
            ServerProcess(points.folder, "--otlp", collector.address, environment=environment) as server,
        ):
            server.wait_ready()
            assert post(server.address, INFER, question()).status == 200
            until(lambda: collector.asked, "the span to be on its way")
            assert {post(server.address, INFER, question()).status for _ in range(100)} == {200}
            server.terminate()
            assert server.wait(10) == 0
        full = [entry for entry in server.logs if "Queue full" in entry["message"]]
        assert len(full) == 1, "what is dropped is told, and told once"
        assert server.logs[-1]["message"] == "the last spans were not sent"

    def test_spans_that_still_wait_at_the_end_are_sent(self, points: Bundle, collector: Collector) -> None:
        with ServerProcess(points.folder, "--otlp", collector.address) as server:
            server.wait_ready()
            for _ in range(3):
                assert post(server.address, INFER, question()).status == 200
            server.terminate()
            assert server.wait(10) == 0
        assert len(collector.received) == 3
        assert server.logs[-1]["message"] == "drained"


class TestFlag:
    @pytest.mark.parametrize("on", [True, False])
    def test_library_is_imported_for_the_flag_alone(self, points: Bundle, on: bool) -> None:
        arguments = ("--otlp", "http://127.0.0.1:9") if on else ()
        with ServerProcess(points.folder, *arguments, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as server:
            assert post(server.wait_ready().address, INFER, question()).status == 200
            server.terminate()
            server.wait(10)
        imported = [line for line in server.lines if line.startswith("import time:")]
        assert any("luntra_serving.server.main" in line or "uvloop" in line for line in imported)
        assert any("opentelemetry" in line for line in imported) is on

    def test_missing_library_is_told_with_the_extra_that_brings_it(self, points: Bundle) -> None:
        program = (
            "import sys\n"
            "sys.modules['opentelemetry'] = None\n"
            "from luntra_serving.server.main import main\n"
            "sys.exit(main(sys.argv[1:]))\n"
        )
        command = [sys.executable, "-c", program, str(points.folder), "--otlp", "http://collector:4318"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert "luntra-serve: --otlp needs opentelemetry" in done.stderr
        assert "install luntra-serving[otel]" in done.stderr

    @pytest.mark.parametrize(
        ("address", "words"),
        [
            ("collector:4318", "use one such as http://collector:4318"),
            ("http://", "use one such as"),
            ("http://collector:4318/v1/traces", "/v1/traces is added"),
        ],
    )
    def test_what_is_no_address_is_refused(self, address: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            parse(["bundle", "--otlp", address])
        assert caught.value.code == 2
        assert words in capsys.readouterr().err


def test_message_that_repeats_is_written_once_a_minute_with_how_often_it_came(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = [0.0]
    logger = logging.Logger("vendor")
    logger.addHandler(_Seldom(now=lambda: clock[0]))
    for second in range(0, 121, 30):
        clock[0] = float(second)
        logger.warning("gone for %s", second)
        if second == 30:
            logger.warning("another")
    told = [(record.getMessage(), vars(record).get("repeated")) for record in caplog.records]
    assert told == [("gone for 0", None), ("another", None), ("gone for 60", 1), ("gone for 120", 1)]
