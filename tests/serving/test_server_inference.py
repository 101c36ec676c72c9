"""The inference port of a real server, asked by the clients that people use and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio

from luntra_serving import __version__
from tests.serving.bundles import POINTS, expected
from tests.serving.processes import ServerProcess, ask, get, post

INFER = "/v2/models/points/infer"


def tensor(array: np.ndarray, name: str = "points", *, binary: bool = True) -> triton.InferInput:
    result = triton.InferInput(name, list(array.shape), "FP32")
    result.set_data_from_numpy(array, binary_data=binary)
    return result


def body(**changes: object) -> dict[str, object]:
    entry = {"name": "points", "datatype": "FP32", "shape": [2, 3], "data": POINTS.tolist(), **changes}
    return {"inputs": [entry]}


class TestTritonClient:
    def test_health_and_metadata_are_what_the_client_expects(self, points_server: ServerProcess) -> None:
        with triton.InferenceServerClient(points_server.address) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("points")
            assert client.is_model_ready("points", "v1")
            assert not client.is_model_ready("points", "v2")
            assert client.get_server_metadata() == {
                "name": "luntra",
                "version": __version__,
                "extensions": ["binary_tensor_data", "model_configuration"],
            }
            assert client.get_model_metadata("points") == {
                "name": "points",
                "versions": ["v1"],
                "platform": "onnxruntime_onnx",
                "inputs": [{"name": "points", "datatype": "FP32", "shape": [-1, 3]}],
                "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}],
            }

    def test_configuration_and_statistics_are_what_the_client_expects(self, points_server: ServerProcess) -> None:
        with triton.InferenceServerClient(points_server.address) as client:
            config = client.get_model_config("points")
            assert (config["max_batch_size"], config["backend"]) == (0, "onnx")
            assert config["input"] == [{"name": "points", "data_type": "TYPE_FP32", "dims": [-1, 3]}]
            before = client.get_inference_statistics("points", "v1")["model_stats"][0]["inference_stats"]["success"]
            assert post(points_server.address, INFER, body()).status == 200
            [after] = client.get_inference_statistics("points")["model_stats"]
            assert (after["name"], after["version"]) == ("points", "v1")
            assert after["inference_stats"]["success"]["count"] == before["count"] + 1
            assert after["inference_stats"]["success"]["ns"] > before["ns"]

    @pytest.mark.parametrize("binary_in", [True, False])
    @pytest.mark.parametrize("binary_out", [True, False])
    def test_inference_gives_the_models_numbers_in_both_wire_forms(
        self, points_server: ServerProcess, binary_in: bool, binary_out: bool
    ) -> None:
        wanted = [triton.InferRequestedOutput("probabilities", binary_data=binary_out)]
        with triton.InferenceServerClient(points_server.address) as client:
            result = client.infer(
                "points", [tensor(POINTS, binary=binary_in)], outputs=wanted, request_id="r-1", model_version="v1"
            )
        np.testing.assert_allclose(result.as_numpy("probabilities"), expected(POINTS), rtol=1e-5)
        response = result.get_response()
        assert (response["model_name"], response["model_version"], response["id"]) == ("points", "v1", "r-1")

    def test_an_empty_batch_is_answered_with_an_empty_batch(self, points_server: ServerProcess) -> None:
        with triton.InferenceServerClient(points_server.address) as client:
            result = client.infer("points", [tensor(np.empty((0, 3), np.float32))])
        assert result.as_numpy("probabilities").shape == (0, 2)

    def test_the_servers_words_reach_the_clients_exception(self, points_server: ServerProcess) -> None:
        told = pytest.raises(triton.InferenceServerException, match="'pints' is not known; the model has points")
        with triton.InferenceServerClient(points_server.address) as client, told:
            client.infer("points", [tensor(POINTS, "pints")])

    async def test_the_asynchronous_client_works_too(self, points_server: ServerProcess) -> None:
        async with triton_aio.InferenceServerClient(points_server.address) as client:
            assert await client.is_model_ready("points")
            result = await client.infer("points", [tensor(POINTS)])
        np.testing.assert_allclose(result.as_numpy("probabilities"), expected(POINTS), rtol=1e-5)

    @pytest.mark.parametrize("binary", [True, False])
    def test_texts_flags_and_large_counts_come_back_as_they_went(
        self, echo_server: ServerProcess, binary: bool
    ) -> None:
        arrays = {
            "texts": np.array(["", "drei", "größer"], dtype=np.object_),
            "flags": np.array([True, False, True]),
            "counts": np.array([0, 1, 2**64 - 1], dtype=np.uint64),
        }
        inputs = []
        for name, kind in (("texts", "BYTES"), ("flags", "BOOL"), ("counts", "UINT64")):
            inputs.append(triton.InferInput(name, [3], kind))
            inputs[-1].set_data_from_numpy(arrays[name], binary_data=binary)
        outputs = [triton.InferRequestedOutput(f"{name}_out", binary_data=binary) for name in arrays]
        with triton.InferenceServerClient(echo_server.address) as client:
            result = client.infer("echo", inputs, outputs=outputs)
        texts = [text.decode() if isinstance(text, bytes) else text for text in result.as_numpy("texts_out")]
        assert texts == ["", "drei", "größer"]
        assert result.as_numpy("flags_out").tolist() == [True, False, True]
        assert result.as_numpy("counts_out").tolist() == [0, 1, 2**64 - 1]


class TestAnswers:
    @pytest.mark.parametrize("path", ["/v2/models/points", "/v2/models/points/ready", "/v2/models/points/versions/v9"])
    def test_every_answer_about_the_model_names_its_version(self, points_server: ServerProcess, path: str) -> None:
        assert get(points_server.address, path).headers["x-model-version"] == "v1"

    def test_inference_answers_name_the_version_also_when_they_fail(self, points_server: ServerProcess) -> None:
        good = post(points_server.address, INFER, body())
        bad = post(points_server.address, INFER, body(datatype="FP64"))
        assert (good.status, good.headers["x-model-version"]) == (200, "v1")
        assert (bad.status, bad.headers["x-model-version"]) == (400, "v1")

    def test_nothing_of_management_is_on_the_inference_port(self, points_server: ServerProcess) -> None:
        assert get(points_server.address, "/metrics").status == 404
        assert get(points_server.address, "/v1/models/points").status == 404

    def test_an_unknown_model_is_404_and_the_message_names_the_one_that_is_served(
        self, points_server: ServerProcess
    ) -> None:
        reply = post(points_server.address, "/v2/models/digits/infer", body())
        assert reply.status == 404
        assert reply.error == "model 'digits' is not served here; this server has 'points'"

    def test_a_wrong_method_is_405(self, points_server: ServerProcess) -> None:
        assert get(points_server.address, INFER).error == "method GET is not allowed here; use POST"
        assert ask(points_server.address, "/v2", "DELETE").status == 405


class TestBadRequests:
    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"name": "pints"}, "inputs[0].name 'pints' is not known; the model has points"),
            ({"datatype": "INT64"}, "input 'points': datatype 'INT64'; it must be FP32"),
            ({"shape": [2, 4]}, "input 'points': shape [2, 4] does not fit [-1, 3] (-1: any size)"),
            ({"shape": [3, 3]}, "input 'points': data has the shape [2, 3], but shape says [3, 3]"),
            ({"shape": "2,3"}, "input 'points': shape must be a list of sizes, not '2,3'"),
            ({"shape": [-1, 3]}, "input 'points': shape must be a list of sizes, not [-1, 3]"),
            ({"shape": [2.0, 3]}, "input 'points': shape must be a list of sizes, not [2.0, 3]"),
            ({"shape": [True, 3]}, "input 'points': shape must be a list of sizes, not [True, 3]"),
            ({"shape": [2**62, 3]}, f"input 'points': shape must be a list of sizes, not [{2**62}, 3]"),
            ({"data": ["a", "b", 0, 0, 0, 0]}, "input 'points': data cannot be read as FP32"),
            ({"data": [1, 2, 3, 4, 5]}, "input 'points': data has 5 elements"),
            ({"data": [[1, 2, 3], [4, 5]]}, "input 'points': data cannot be read as FP32"),
            ({"parameters": {"binary_data_size": 24}}, "needs either data or parameters.binary_data_size"),
            ({"parameters": {"shared_memory_region": "r"}}, "shared memory is not supported"),
        ],
    )
    def test_an_input_that_does_not_fit_is_named_with_what_would(
        self, points_server: ServerProcess, changes: dict[str, object], problem: str
    ) -> None:
        reply = post(points_server.address, INFER, body(**changes))
        assert reply.status == 400
        assert problem in reply.error

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "the request is not JSON"),
            (b"{", "the request is not JSON"),
            (b"\xff\xfe", "the request is not JSON"),
            (b"[]", "the request must be a JSON object"),
            (b"[" * 100_000, "the request is not JSON"),
            (b'{"inputs": [{"name": "points", "data": [NaN]}]}', "NaN is not JSON"),
            (b'{"inputs": []}', "inputs lack 'points'"),
            (b'{"inputs": 3}', "inputs must be a list"),
            (b'{"id": 3, "inputs": []}', "id must be a text"),
            (b'{"parameters": [], "inputs": []}', "parameters must be a JSON object"),
        ],
    )
    def test_a_body_that_is_no_request_is_named(
        self, points_server: ServerProcess, content: bytes, problem: str
    ) -> None:
        reply = post(points_server.address, INFER, content)
        assert reply.status == 400
        assert problem in reply.error

    @pytest.mark.parametrize("length", ["-1", "+3", "3 ", "0x10", "99999", "9" * 400, "١", ""])
    def test_a_malformed_binary_header_length_is_refused(self, points_server: ServerProcess, length: str) -> None:
        headers = {"Inference-Header-Content-Length": length.encode()}
        reply = post(points_server.address, INFER, body(), headers)  # type: ignore[arg-type]
        assert reply.status == 400
        assert "Inference-Header-Content-Length" in reply.error or reply.error.startswith("the request is not JSON")

    @pytest.mark.parametrize(
        ("size", "sent", "problem"),
        [
            (24, 20, "claims 24 bytes of binary data, but 20 are left"),
            (20, 20, "binary data has 20 bytes, but FP32 [2, 3] takes 24"),
            (24, 30, "6 bytes of binary data belong to no input"),
            (-1, 24, "binary_data_size must be a number of bytes, not -1"),
            ("24", 24, "binary_data_size must be a number of bytes, not '24'"),
        ],
    )
    def test_truncated_and_surplus_binary_data_are_refused(
        self, points_server: ServerProcess, size: object, sent: int, problem: str
    ) -> None:
        entry = {"name": "points", "datatype": "FP32", "shape": [2, 3], "parameters": {"binary_data_size": size}}
        head = json.dumps({"inputs": [entry]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        reply = post(points_server.address, INFER, head + b"\0" * sent, headers)
        assert reply.status == 400
        assert problem in reply.error

    def test_an_unknown_output_is_refused(self, points_server: ServerProcess) -> None:
        reply = post(points_server.address, INFER, {**body(), "outputs": [{"name": "scores"}]})
        assert reply.error == "outputs[0].name 'scores' is not known; the model has probabilities"

    def test_a_compressed_body_is_refused_with_what_to_do(self, points_server: ServerProcess) -> None:
        reply = post(points_server.address, INFER, b"x", {"Content-Encoding": "gzip"})
        assert reply.error == "header Content-Encoding 'gzip' is not supported; send the body as it is"

    @pytest.mark.parametrize("value", ["soon", "0s", "1h", "-1s"])
    def test_a_deadline_header_that_makes_no_sense_is_refused(self, points_server: ServerProcess, value: str) -> None:
        reply = post(points_server.address, INFER, body(), {"x-request-deadline": value})
        assert reply.status == 400
        assert "x-request-deadline" in reply.error

    def test_a_body_above_the_limit_is_413_whether_announced_or_not(self, points_server: ServerProcess) -> None:
        announced = post(points_server.address, INFER, b"x" * 200_000)
        assert announced.status == 413
        assert "larger than 100000 bytes" in announced.error
        chunked = ask(points_server.address, INFER, "POST", iter([b"x" * 50_000] * 4))  # type: ignore[arg-type]
        assert chunked.status == 413

    def test_after_all_that_the_server_still_answers(self, points_server: ServerProcess) -> None:
        assert post(points_server.address, INFER, body()).status == 200
        assert points_server.process.poll() is None


class TestMetrics:
    def test_requests_are_counted_by_version_and_status_and_none_stays_in_flight(
        self, points_server: ServerProcess
    ) -> None:
        counted = 'luntra_inference_requests_total{code="%s",model="points",version="v1"}'
        before = [points_server.metric(counted % code) for code in (200, 400)]
        for content in (body(), body(), body(datatype="FP64")):
            post(points_server.address, INFER, content)
        assert [points_server.metric(counted % code) for code in (200, 400)] == [before[0] + 2, before[1] + 1]
        assert points_server.metric('luntra_inference_in_flight{model="points",version="v1"}') == 0
        assert points_server.metric('luntra_inference_duration_seconds_count{model="points",version="v1"}') > 0

    def test_the_seconds_of_each_stage_of_the_load_are_there(self, points_server: ServerProcess) -> None:
        for stage in ("fetch", "load", "self-test"):
            sample = f'luntra_model_load_duration_seconds{{model="points",stage="{stage}",version="v1"}}'
            assert points_server.metric(sample) > 0

    def test_the_management_port_says_what_is_served_and_knows_nothing_else(self, points_server: ServerProcess) -> None:
        state = points_server.state("points")
        assert (state["ready"], state["stable"], state["versions"][0]["state"]) == (True, "v1", "Ready")
        assert get(points_server.management, "/v1/models/other").status == 404
        assert get(points_server.management, "/v2/health/live").status == 404


def test_a_laptop_user_reads_a_command_that_works(points_server: ServerProcess) -> None:
    text = "".join(points_server.output)
    assert f"points v1 is ready at http://{points_server.address}/v2/models/points" in text
    command = next(line for line in text.splitlines() if line.startswith("  curl"))
    example = json.loads(command.split("'")[1])
    assert post(points_server.address, INFER, example).status == 200
