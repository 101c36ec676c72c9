"""The gRPC port of a real server, asked by the clients that people use and by hand."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.http as triton_http
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.serving.bundles import POINTS, expected, points_bundle
from tests.serving.processes import ServerProcess, get, post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle


@pytest.fixture
def client(points_server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    """NVIDIA's client of the points server."""
    with triton.InferenceServerClient(points_server.grpc) as connected:
        yield connected


@pytest.fixture
def stub(points_server: ServerProcess) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    """A client that sends whatever message it is given."""
    with grpc.insecure_channel(points_server.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def tensor(array: np.ndarray, name: str = "points", kind: str = "FP32", library: Any = triton) -> Any:
    result = library.InferInput(name, list(array.shape), kind)
    result.set_data_from_numpy(array)
    return result


def message(**changes: Any) -> service_pb2.ModelInferRequest:
    entry = {
        "name": "points",
        "datatype": "FP32",
        "shape": [2, 3],
        "contents": {"fp32_contents": POINTS.reshape(-1)},
        **changes,
    }
    return service_pb2.ModelInferRequest(model_name="points", inputs=[entry])


def refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> grpc.RpcError:
    """Make a call that the server refuses; return the error with code, details and metadata."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value


def names(metadata: Any) -> dict[str, str]:
    """The part of the trailing metadata that says which version answered."""
    return {key: value for key, value in metadata if key.startswith("x-model-")}


class TestTritonClient:
    def test_health_is_what_the_client_expects(self, client: triton.InferenceServerClient) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("points")
        assert client.is_model_ready("points", "v1")
        assert not client.is_model_ready("points", "v2")
        assert not client.is_model_ready("lines")

    def test_metadata_says_the_same_over_both_protocols(
        self, client: triton.InferenceServerClient, points_server: ServerProcess
    ) -> None:
        with triton_http.InferenceServerClient(points_server.address) as http:
            over_http = (http.get_server_metadata(), http.get_model_metadata("points", "v1"))
        server, model = client.get_server_metadata(), client.get_model_metadata("points", "v1")
        assert server == service_pb2.ServerMetadataResponse(**over_http[0])
        assert model == service_pb2.ModelMetadataResponse(**over_http[1])

    def test_configuration_has_the_whole_shapes_and_no_hidden_batch(self, client: triton.InferenceServerClient) -> None:
        config = client.get_model_config("points", as_json=True)["config"]
        assert config == {
            "name": "points",
            "platform": "onnxruntime_onnx",
            "backend": "onnx",
            "input": [{"name": "points", "data_type": "TYPE_FP32", "dims": ["-1", "3"]}],
            "output": [{"name": "probabilities", "data_type": "TYPE_FP32", "dims": ["-1", "2"]}],
        }

    def test_statistics_count_requests_over_both_protocols(
        self, client: triton.InferenceServerClient, points_server: ServerProcess
    ) -> None:
        def read(version: str = "") -> tuple[int, int, int]:
            [one] = client.get_inference_statistics("points", version).model_stats
            assert (one.name, one.version, one.inference_count) == ("points", "v1", one.inference_stats.success.count)
            assert one.inference_stats.success.ns >= 1000 * one.inference_stats.success.count
            assert one.inference_stats.compute_infer.count == one.inference_count
            assert one.inference_stats.queue.ns + one.inference_stats.compute_infer.ns <= one.inference_stats.success.ns
            assert one.execution_count == sum(batch.compute_infer.count for batch in one.batch_stats)
            return one.inference_stats.success.count, one.inference_stats.fail.count, one.inference_stats.fail.ns

        before = read()
        client.infer("points", [tensor(POINTS)])
        with triton_http.InferenceServerClient(points_server.address) as http:
            http.infer("points", [tensor(POINTS, library=triton_http)])
        assert post(points_server.address, "/v2/models/points/infer", b"{}").status == 400
        after = read("v1")
        assert (after[0], after[1]) == (before[0] + 2, before[1] + 1)
        assert after[2] > before[2]
        [listed] = client.get_inference_statistics().model_stats
        assert listed.inference_count == after[0]
        with pytest.raises(triton.InferenceServerException, match="NOT_FOUND"):
            client.get_inference_statistics("points", "v9")
        with pytest.raises(triton.InferenceServerException, match="NOT_FOUND"):
            client.get_inference_statistics("lines")

    def test_repository_index_lists_the_versions_in_memory(self, client: triton.InferenceServerClient) -> None:
        [entry] = client.get_model_repository_index().models
        assert (entry.name, entry.version, entry.state) == ("points", "v1", "READY")

    def test_inference_gives_the_models_numbers(self, client: triton.InferenceServerClient) -> None:
        wanted = [triton.InferRequestedOutput("probabilities")]
        result = client.infer("points", [tensor(POINTS)], outputs=wanted, request_id="r-1", model_version="v1")
        np.testing.assert_allclose(result.as_numpy("probabilities"), expected(POINTS), rtol=1e-5)
        response = result.get_response()
        assert (response.model_name, response.model_version, response.id) == ("points", "v1", "r-1")

    def test_inference_gives_the_same_bits_over_both_protocols(
        self, client: triton.InferenceServerClient, points_server: ServerProcess
    ) -> None:
        over_grpc = client.infer("points", [tensor(POINTS)]).as_numpy("probabilities")
        with triton_http.InferenceServerClient(points_server.address) as http:
            over_http = http.infer("points", [tensor(POINTS, library=triton_http)]).as_numpy("probabilities")
        np.testing.assert_array_equal(over_grpc, over_http)

    def test_compressed_messages_and_the_clients_own_parameters_do_no_harm(
        self, client: triton.InferenceServerClient
    ) -> None:
        result = client.infer(
            "points",
            [tensor(POINTS)],
            compression_algorithm="gzip",
            priority=1,
            timeout=1_000_000,
            parameters={"a": 1.5},
        )
        assert result.as_numpy("probabilities").shape == (2, 2)

    def test_an_empty_batch_is_answered_with_an_empty_batch(self, client: triton.InferenceServerClient) -> None:
        result = client.infer("points", [tensor(np.empty((0, 3), np.float32))])
        assert result.as_numpy("probabilities").shape == (0, 2)

    async def test_the_asynchronous_client_works_too(self, points_server: ServerProcess) -> None:
        async with triton_aio.InferenceServerClient(points_server.grpc) as client:
            assert await client.is_server_ready()
            assert await client.is_model_ready("points")
            result = await client.infer("points", [tensor(POINTS)])
        np.testing.assert_allclose(result.as_numpy("probabilities"), expected(POINTS), rtol=1e-5)

    def test_texts_flags_and_large_counts_come_back_as_they_went(self, echo_server: ServerProcess) -> None:
        arrays = {
            "texts": (np.array([b"", b"drei", "größer".encode()], dtype=np.object_), "BYTES"),
            "flags": (np.array([True, False, True]), "BOOL"),
            "counts": (np.array([0, 1, 2**64 - 1], dtype=np.uint64), "UINT64"),
        }
        with triton.InferenceServerClient(echo_server.grpc) as client:
            result = client.infer("echo", [tensor(array, name, kind) for name, (array, kind) in arrays.items()])
        for name, (array, _) in arrays.items():
            assert result.as_numpy(f"{name}_out").tolist() == array.tolist()


class TestAnswers:
    def test_typed_contents_are_answered_with_raw_ones(self, stub: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
        response = stub.ModelInfer(message())
        [raw] = response.raw_output_contents
        np.testing.assert_allclose(np.frombuffer(raw, "<f4").reshape(2, 2), expected(POINTS), rtol=1e-5)

    def test_every_answer_about_the_model_names_its_version(
        self, stub: service_pb2_grpc.GRPCInferenceServiceStub
    ) -> None:
        for method, request in (
            (stub.ModelInfer, message()),
            (stub.ModelReady, service_pb2.ModelReadyRequest(name="points")),
            (stub.ModelMetadata, service_pb2.ModelMetadataRequest(name="points")),
            (stub.ModelConfig, service_pb2.ModelConfigRequest(name="points")),
        ):
            _, call = method.with_call(request)
            assert names(call.trailing_metadata()) == {"x-model-version": "v1"}

    def test_errors_name_the_version_too(self, stub: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
        error = refused(stub.ModelInfer, message(datatype="FP64"))
        assert names(error.trailing_metadata()) == {"x-model-version": "v1"}

    def test_revision_is_named_where_the_document_has_one(
        self, points: Bundle, document: Callable[..., Path], tmp_path: Path
    ) -> None:
        arguments = ("--document", document(points), "--cache-dir", tmp_path, "--grpc-port", "0")
        with ServerProcess(*arguments) as server, grpc.insecure_channel(server.wait_ready().grpc) as channel:
            _, call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.with_call(message())
            assert names(call.trailing_metadata()) == {"x-model-version": "v1", "x-model-revision": "3f2a9c1d0b"}

    def test_requests_are_counted_like_those_over_http(
        self, points_server: ServerProcess, stub: service_pb2_grpc.GRPCInferenceServiceStub
    ) -> None:
        counted = 'luntra_inference_requests_total{code="%s",model="points",version="v1"}'
        before = [points_server.metric(counted % code) for code in (200, 400)]
        stub.ModelInfer(message())
        refused(stub.ModelInfer, message(shape=[7]))
        assert [points_server.metric(counted % code) for code in (200, 400)] == [before[0] + 1, before[1] + 1]
        assert points_server.metric('luntra_inference_in_flight{model="points",version="v1"}') == 0
        assert points_server.state("points")["versions"][0]["inFlight"] == 0


class TestRefusals:
    def test_words_are_the_same_over_both_protocols(
        self, points_server: ServerProcess, stub: service_pb2_grpc.GRPCInferenceServiceStub
    ) -> None:
        error = refused(stub.ModelInfer, message(shape=[2, 4]))
        entry = {"name": "points", "datatype": "FP32", "shape": [2, 4], "data": POINTS.tolist()}
        reply = post(points_server.address, "/v2/models/points/infer", {"inputs": [entry]})
        assert (error.code(), reply.status) == (grpc.StatusCode.INVALID_ARGUMENT, 400)
        assert error.details() == reply.error == "input 'points': shape [2, 4] does not fit [-1, 3] (-1: any size)"

    def test_another_model_is_not_found(self, stub: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
        for method, request in (
            (stub.ModelInfer, service_pb2.ModelInferRequest(model_name="lines")),
            (stub.ModelMetadata, service_pb2.ModelMetadataRequest(name="lines")),
            (stub.ModelConfig, service_pb2.ModelConfigRequest(name="lines")),
        ):
            error = refused(method, request)
            assert error.code() is grpc.StatusCode.NOT_FOUND
            assert error.details() == "model 'lines' is not served here; this server has 'points'"

    def test_another_version_is_not_found(self, stub: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
        error = refused(stub.ModelInfer, service_pb2.ModelInferRequest(model_name="points", model_version="v9"))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error.details() == "version 'v9' of 'points' is not served here; 'v1' is"

    def test_bytes_that_are_no_message_are_an_invalid_argument(self, points_server: ServerProcess) -> None:
        with grpc.insecure_channel(points_server.grpc) as channel:
            for method in ("ModelInfer", "ModelReady", "ServerLive"):
                call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}", _registered_method=False)
                error = refused(call, b"\xff\xff")
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert f"the message is no {method}Request" in error.details()

    def test_long_words_are_cut_to_what_a_client_takes(self, stub: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
        error = refused(stub.ModelInfer, message(name="ü" * 20_000))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details().startswith("inputs[0].name 'üü")

    def test_message_above_the_limit_is_refused(self, client: triton.InferenceServerClient) -> None:
        with pytest.raises(triton.InferenceServerException, match="larger than max") as caught:
            client.infer("points", [tensor(np.zeros((10_000, 3), np.float32))])
        assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"

    def test_what_would_change_the_server_is_not_there(self, client: triton.InferenceServerClient) -> None:
        with pytest.raises(triton.InferenceServerException) as caught:
            client.unload_model("points")
        assert caught.value.status() == "StatusCode.UNIMPLEMENTED"

    def test_models_fault_is_internal_and_the_server_goes_on(self, tmp_path: Path) -> None:
        outputs = [{"name": "probabilities", "datatype": "FP32", "shape": [2, 2]}]
        inputs = [{"name": "points", "datatype": "FP32", "shape": [-1, 3]}]
        bundle = points_bundle(tmp_path / "strict", interface={"inputs": inputs, "outputs": outputs})
        with (
            ServerProcess(bundle.folder, "--grpc-port", "0") as server,
            grpc.insecure_channel(server.wait_ready().grpc) as channel,
        ):
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            one = message(shape=[1, 3], contents={"fp32_contents": [0, 1, 2]})
            error = refused(stub.ModelInfer, one)
            assert error.code() is grpc.StatusCode.INTERNAL
            assert error.details().startswith("output 'probabilities' came out as float32 [1, 2]")
            assert stub.ModelInfer(message()).model_version == "v1"

    def test_model_that_is_still_loading_is_unavailable_and_not_ready(
        self, points: Bundle, document: Callable[..., Path], tmp_path: Path
    ) -> None:
        path = document(points, uri=(tmp_path / "nothing-here").as_uri())
        arguments = ("--document", path, "--cache-dir", tmp_path, "--grpc-port", "0", "--termination-delay", "0")
        with ServerProcess(*arguments) as server, grpc.insecure_channel(server.grpc) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            error = refused(stub.ModelInfer, message(), wait_for_ready=True, timeout=10)
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert "model 'points' version 'v1' is still loading" in error.details()
            assert names(error.trailing_metadata()) == {"x-model-version": "v1"}
            assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
            assert not stub.ServerReady(service_pb2.ServerReadyRequest()).ready
            assert not stub.ModelReady(service_pb2.ModelReadyRequest(name="points")).ready


class TestPort:
    def test_two_servers_do_not_share_a_port(self, points_server: ServerProcess, points: Bundle) -> None:
        port = points_server.grpc.rsplit(":", 1)[1]
        with ServerProcess(points.folder, "--grpc-port", port) as second:
            assert second.wait() == 2
            assert f"cannot listen on 127.0.0.1:{port} for gRPC" in "".join(second.lines)

    def test_without_the_flag_there_is_none(self, points: Bundle) -> None:
        with ServerProcess(points.folder) as server:
            server.wait_ready()
            assert all("grpc" not in entry for entry in server.logs)

    def test_http_on_the_grpc_port_harms_nobody(
        self, points_server: ServerProcess, client: triton.InferenceServerClient
    ) -> None:
        with pytest.raises((HTTPException, OSError)):
            get(points_server.grpc, "/v2/health/live")
        assert client.is_server_live()


def test_request_of_a_preview_is_counted_apart(
    client: triton.InferenceServerClient, points_server: ServerProcess
) -> None:
    def counted() -> int:
        [version] = json.loads(get(points_server.management, "/v1/models/points/stats").body)["versions"]
        return int(version["requests"])

    before = counted()
    client.infer("points", [tensor(POINTS)], headers={"x-luntra-preview": "true"})
    assert counted() == before
    client.infer("points", [tensor(POINTS)])
    assert counted() == before + 1
