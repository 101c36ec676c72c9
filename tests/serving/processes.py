"""Run the real server as a process of its own, on free ports, and look at it from outside."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SERVE = [sys.executable, "-W", "error", "-m", "luntra_serving.server.main"]
# The command itself waits 25 seconds in all before it gives a source up; a test does not have to.
_IMPATIENT = (
    "import sys, dataclasses\n"
    "from luntra_serving.server.main import parse, serve\n"
    "sys.exit(serve(dataclasses.replace(parse(sys.argv[1:]), retry_delays=(0.1,))))\n"
)


class ServerProcess:
    """`luntra-serve` with `arguments`; use as a context manager, which kills what is left."""

    def __init__(
        self, *arguments: str | Path, impatient: bool = False, environment: dict[str, str] | None = None
    ) -> None:
        command = [sys.executable, "-c", _IMPATIENT] if impatient else _SERVE
        ports = ["--http-port", "0", "--management-port", "0", "--log-format", "json"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments), *ports],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.lines: list[str] = []
        self.output: list[str] = []
        self._readers = [
            threading.Thread(target=_collect, args=(self.process.stderr, self.lines)),
            threading.Thread(target=_collect, args=(self.process.stdout, self.output)),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The log entries so far."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    @property
    def address(self) -> str:
        """host:port of the inference port."""
        return self._listening()["inference"].removeprefix("http://")

    @property
    def grpc(self) -> str:
        """host:port of the gRPC port, if the server was asked for one."""
        return self._listening()["grpc"]

    @property
    def management(self) -> str:
        """host:port of the management port."""
        return self._listening()["management"].removeprefix("http://")

    def _listening(self) -> dict[str, Any]:
        def find() -> dict[str, Any] | None:
            return next((entry for entry in self.logs if entry["message"] == "listening"), None)

        until(lambda: find() is not None or self.process.poll() is not None, "the server to listen")
        return find() or self.fail()

    def fail(self) -> dict[str, Any]:
        """Raise with what the process wrote."""
        raise AssertionError(f"the server ended with {self.process.returncode}: {''.join(self.lines)}")

    def wait_ready(self) -> ServerProcess:
        """Wait until the readiness endpoint says 200."""
        address = self.address
        until(lambda: self.process.poll() is not None or get(address, "/v2/health/ready").status == 200, "readiness")
        if self.process.poll() is not None:
            self.fail()
        return self

    def state(self, model: str) -> dict[str, Any]:
        """Return what the management port says about `model`."""
        document: dict[str, Any] = json.loads(get(self.management, f"/v1/models/{model}").body)
        return document

    def metric(self, sample: str) -> float:
        """Return the sum of the samples of /metrics that have this name and these labels, whatever others; 0 if there is none."""
        name, _, labels = sample.removesuffix("}").partition("{")
        total = 0.0
        for line in get(self.management, "/metrics").body.decode().splitlines():
            found, _, value = line.rpartition(" ")
            named, _, having = found.removesuffix("}").partition("{")
            if named == name and set(filter(None, labels.split(","))) <= set(having.split(",")):
                total += float(value)
        return total

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 60) -> int:
        """Return the exit code."""
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join()
        return code


class Reply:
    """One HTTP answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def error(self) -> str:
        """The protocol's error text."""
        message: str = json.loads(self.body)["error"]
        return message


def get(address: str, path: str, method: str = "GET") -> Reply:
    """Ask on a connection of its own; a refused connection is status 0."""
    return ask(address, path, method=method)


def post(address: str, path: str, body: bytes | dict[str, Any], headers: dict[str, str] | None = None) -> Reply:
    """Post JSON or raw bytes on a connection of its own."""
    return ask(address, path, "POST", json.dumps(body).encode() if isinstance(body, dict) else body, headers)


def put(server: ServerProcess, generation: int, stable: dict[str, Any], **more: Any) -> Reply:
    """Hand the server of the points model a document: `stable`, and `more` beside it."""
    document = {"generation": generation, "model": "points", "stable": stable, **more}
    return ask(server.management, "/v1/models/points", "PUT", json.dumps(document).encode())


def ask(
    address: str, path: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
) -> Reply:
    """One request on a connection of its own; status 0 if nobody listens."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    except ConnectionRefusedError:
        return Reply(0, {}, b"")
    finally:
        connection.close()


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Return the first truthy result of `condition`, asked again and again until `seconds` have passed."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if result := condition():
            return result
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


def _collect(stream: Any, lines: list[str]) -> None:
    while line := stream.readline():
        lines.append(line)
