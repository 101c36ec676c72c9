"""The server's id of each inference: who made the answer, and which answer it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc

from luntra_serving.server.request_ids import HEADER, new_id, revision_of
from luntra_serving.swap.version import Identity
from tests.serving.processes import ServerProcess, get, post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle

INFER = "/v2/models/points/infer"
QUESTION = {"inputs": [{"name": "points", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 1.0, 2.0]}], "id": "mine"}


@pytest.mark.parametrize("revision", ["3f2a9c1d0b", "r", "a.b-1", "x" * 128])
def test_id_names_the_revision_that_answered(revision: str) -> None:
    ids = {new_id(Identity("v1", "sha256:0123456789abcdef", revision)) for _ in range(1000)}
    assert len(ids) == 1000
    assert {revision_of(one) for one in ids} == {revision}


def test_id_of_a_version_without_a_revision_names_its_digest() -> None:
    assert revision_of(new_id(Identity("v1", "sha256:0123456789abcdef"))) == "0123456789"


@pytest.mark.parametrize("text", ["", "3f2a9c1d0b", "3f2a9c1d0b.", "a.00C0FFEE00C0FFEE", "a b.00c0ffee00c0ffee", "a." * 9,
                                  ".00c0ffee00c0ffee", "x" * 129 + ".00c0ffee00c0ffee", "a.00c0ffee00c0ffee\n"])  # fmt: skip
def test_anything_else_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="it must be the x-luntra-request-id of an answer"):
        revision_of(text)


@pytest.fixture
def server(points: Bundle, document: Callable[..., Path], tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that knows its version's revision."""
    with ServerProcess("--document", document(points), "--cache-dir", tmp_path, "--grpc-port", "0") as running:
        yield running.wait_ready()


def test_every_answer_has_an_id_of_its_own_and_the_clients_is_left_alone(server: ServerProcess) -> None:
    good = [post(server.address, INFER, QUESTION, {"x-request-id": "theirs"}) for _ in range(2)]
    bad = post(server.address, INFER, b"{}")
    assert [one.status for one in (*good, bad)] == [200, 200, 400]
    ids = [one.headers[HEADER] for one in (*good, bad)]
    assert len(set(ids)) == 3
    assert {revision_of(one) for one in ids} == {"3f2a9c1d0b"}
    assert b'"id":"mine"' in good[0].body
    assert "x-request-id" not in good[0].headers
    for other in ("/v2/models/points", "/v2/models/points/ready", "/v2/models/points/stats"):
        assert HEADER not in get(server.address, other).headers


def test_grpc_has_the_id_in_metadata_and_as_a_parameter_which_tritons_client_shows(server: ServerProcess) -> None:
    def said(metadata: Any) -> str:
        return dict(metadata)[HEADER]

    request = service_pb2.ModelInferRequest(model_name="points", id="mine")
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(request)
        assert revision_of(said(caught.value.trailing_metadata())) == "3f2a9c1d0b"
        request.inputs.add(name="points", datatype="FP32", shape=[1, 3]).contents.fp32_contents.extend([0, 1, 2])
        response, call = stub.ModelInfer.with_call(request)
        assert response.id == "mine"
        assert response.parameters[HEADER].string_param == said(call.trailing_metadata())
        stream = stub.ModelStreamInfer(iter([request] * 3))
        streamed = [one.infer_response.parameters[HEADER].string_param for one in stream]
        assert len({revision_of(one) for one in streamed}) == 1
        assert len(set(streamed)) == 3
        assert said(stream.trailing_metadata()) == streamed[-1]
    with triton.InferenceServerClient(server.grpc) as client:
        entry = triton.InferInput("points", [1, 3], "FP32")
        entry.set_data_from_numpy(np.zeros((1, 3), np.float32))
        shown = client.infer("points", [entry]).get_response().parameters[HEADER].string_param
    assert revision_of(shown) == "3f2a9c1d0b"
