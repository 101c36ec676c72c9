"""The question that every server gets, and how its answers are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.serving.models import Model, points
from benchmarks.serving.wire import LENGTH, answer, question
from luntra_serving.bundle.verify import verify_folder
from luntra_serving.server.protocol.request import decode

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.serving.wire import Encoding


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return points(tmp_path)


@pytest.mark.parametrize("encoding", ["json", "binary"])
def test_our_own_server_reads_the_question_as_it_was_meant(model: Model, encoding: Encoding) -> None:
    asked = question(model, encoding)
    length = int(asked.headers.get("Inference-Header-Content-Length", len(asked.body)))
    interface = verify_folder(model.versions["v1"].folder).manifest.interface
    request = decode(asked.body, length, interface)
    assert request.inputs["points"].tolist() == [list(model.row)]
    assert [output.binary for output in request.outputs] == [encoding == "binary"]


def test_the_whole_request_announces_its_body(model: Model) -> None:
    asked = question(model, "json")
    head, _, body = asked.to_bytes("127.0.0.1:1", "/v2/x").partition(b"\r\n\r\n")
    assert body == asked.body
    assert f"Content-Length: {len(body)}".encode() in head
    assert head.startswith(b"POST /v2/x HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")


def test_a_json_answer_is_read_whether_its_numbers_are_nested_or_flat() -> None:
    for data in ([0.25, 0.75], [[0.25, 0.75]]):
        assert answer(json.dumps({"outputs": [{"data": data}]}).encode(), {}) == [0.25, 0.75]


def test_a_binary_answer_is_read_from_behind_its_header() -> None:
    header = json.dumps({"outputs": [{"name": "probabilities"}]}).encode()
    body = header + np.array([0.25, 0.75], "<f4").tobytes()
    assert answer(body, {LENGTH: str(len(header))}) == [0.25, 0.75]


@pytest.mark.parametrize("body", [b'{"error": "no"}', b"not JSON", b'{"outputs": []}'])
def test_what_is_no_answer_is_refused_with_its_text(body: bytes) -> None:
    with pytest.raises(ValueError, match="not one of the protocol's") as caught:
        answer(body, {})
    assert body.decode() in str(caught.value)


def test_an_answer_tells_the_version_that_gave_it(model: Model) -> None:
    for name, version in model.versions.items():
        assert model.version_of([value + 1e-6 for value in version.expected]) == name
    assert model.version_of([0.5, 0.5]) is None
    assert model.version_of([1.0]) is None
