"""A small real model server for the checks: Open Inference Protocol v2 over HTTP, JSON and binary tensors."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DTYPES = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "INT32": np.int32, "BOOL": np.bool_}
Arrays = dict[str, Any]


class OipServer:
    """A model behind a port of its own; what it answers can be changed while it runs.

    `status` is asked for the HTTP status of each inference request by its number, from 0.
    """

    def __init__(
        self,
        model: Callable[[Arrays], Arrays],
        inputs: list[tuple[str, str, list[int]]],
        outputs: list[tuple[str, str, list[int]]],
    ) -> None:
        self.model = model
        self.metadata: dict[str, Any] = {
            "name": "digits",
            "platform": "test",
            "inputs": [{"name": n, "datatype": d, "shape": s} for n, d, s in inputs],
            "outputs": [{"name": n, "datatype": d, "shape": s} for n, d, s in outputs],
        }
        self.status: Callable[[int], int] = lambda number: 200
        self.metadata_status: Callable[[int], int] = lambda number: 200
        self.delay = 0.0
        self.seen: list[Arrays] = []
        self.metadata_requests = 0
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                with server.lock:
                    number, server.metadata_requests = server.metadata_requests, server.metadata_requests + 1
                self._answer(server.metadata_status(number), {}, json.dumps(server.metadata).encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inputs = server.decode(body, self.headers.get("Inference-Header-Content-Length"))
                with server.lock:
                    number = len(server.seen)
                    server.seen.append(inputs)
                if server.delay:
                    time.sleep(server.delay)
                status = server.status(number)
                if status == 200:
                    self._answer(200, *server.encode(server.model(inputs)))
                else:
                    self._answer(status, {}, json.dumps({"error": f"injected {status}"}).encode())

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def decode(self, body: bytes, header_length: str | None) -> Arrays:
        cut = int(header_length) if header_length else len(body)
        document, rest = json.loads(body[:cut]), body[cut:]
        arrays: Arrays = {}
        for tensor in document["inputs"]:
            dtype = DTYPES.get(tensor["datatype"])
            size = tensor["parameters"]["binary_data_size"]
            piece, rest = rest[:size], rest[size:]
            arrays[tensor["name"]] = piece if dtype is None else np.frombuffer(piece, dtype).reshape(tensor["shape"])
        return arrays

    def encode(self, outputs: Arrays) -> tuple[dict[str, str], bytes]:
        described, binary = [], b""
        for spec in self.metadata["outputs"]:
            array = outputs[spec["name"]]
            tensor = {"name": spec["name"], "datatype": spec["datatype"], "shape": list(array.shape)}
            if spec["datatype"] == "BYTES":
                tensor["data"] = array.reshape(-1).tolist()
            else:
                raw = np.ascontiguousarray(array, dtype=DTYPES[spec["datatype"]]).tobytes()
                tensor["parameters"] = {"binary_data_size": len(raw)}
                binary += raw
            described.append(tensor)
        head = json.dumps({"model_name": "digits", "outputs": described}).encode()
        return {"Inference-Header-Content-Length": str(len(head))}, head + binary

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def scores_of(
    classes: int, wrong: Callable[[Any], Any] = lambda x: np.zeros(len(x), bool)
) -> Callable[[Arrays], Arrays]:
    """A model of one-hot inputs: scores whose largest is the right class, but where `wrong` says otherwise."""

    def model(inputs: Arrays) -> Arrays:
        x = inputs["x"]
        return {"scores": np.where(wrong(x)[:, None], np.roll(x, 1, axis=1), x)}

    return model


@pytest.fixture
def serve() -> Iterator[Callable[..., OipServer]]:
    """Start servers; by default a perfect classifier of 4 classes with one-hot inputs and float scores."""
    servers: list[OipServer] = []

    def start(
        model: Callable[[Arrays], Arrays] | None = None,
        inputs: list[tuple[str, str, list[int]]] | None = None,
        outputs: list[tuple[str, str, list[int]]] | None = None,
    ) -> OipServer:
        server = OipServer(
            model or scores_of(4),
            inputs or [("x", "FP32", [-1, 4])],
            outputs or [("scores", "FP32", [-1, 4])],
        )
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


def npz(**arrays: Any) -> bytes:
    """Bytes of an .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.fixture
def onehot() -> dict[str, Any]:
    """40 samples: x one-hot of 4 classes, labels their class."""
    labels = np.arange(40) % 4
    return {"x": np.eye(4, dtype=np.float32)[labels], "labels": labels}


@pytest.fixture
def pinned(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Save arrays as a set and give the `dataset` block that names it."""

    def save(**arrays: Any) -> dict[str, str]:
        path = tmp_path / "set.npz"
        path.write_bytes(npz(**arrays))
        return {"uri": f"file://{path}", "digest": "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()}

    return save


@pytest.fixture
def model_of_scores() -> Callable[..., Callable[[Arrays], Arrays]]:
    return scores_of


@pytest.fixture
def npz_bytes() -> Callable[..., bytes]:
    return npz
