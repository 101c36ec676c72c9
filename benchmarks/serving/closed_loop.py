"""Throughput: as many connections as asked for, each sending its next request when it has the answer to the last.

The client is wrk, for a client in Python would be the slower side. What it reports is parsed here; that the answers are
right is checked with requests of our own, before and after. Latencies of a closed loop are not reported: a client that
waits for a slow answer sends less, and so does not see what others would have seen (coordinated omission).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.serving.process import ask
from benchmarks.serving.wire import Encoding, Question, answer, question
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from benchmarks.serving.models import Model
    from benchmarks.serving.peers.protocol import Running
    from e2e.kind.progress import Progress

CONNECTIONS = (1, 16, 64)
ENCODINGS: tuple[Encoding, ...] = ("json", "binary")

_SCRIPT = Path(__file__).with_name("wrk.lua")
_MARK = "RESULT "
SAMPLE = 8
"""Answers that are compared with the right one, before a measurement and after it."""


@dataclass(frozen=True)
class Measured:
    """One measurement.

    `processor_seconds` is what the server computed meanwhile. `refused` counts answers with another status than 2xx or 3xx,
    `broken` failed connections and reads.
    """

    requests: int
    seconds: float
    processor_seconds: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Answers in a second."""
        return self.requests / self.seconds

    @property
    def cost(self) -> float:
        """Seconds of the server's processor for one answer."""
        return self.processor_seconds / max(self.requests, 1)


def ensure_wrk(progress: Progress) -> None:
    """Install wrk from Debian if it is missing and may be installed.

    Raises:
        HarnessError: it is missing; the message has the command.
    """
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise HarnessError("wrk: not found; type: sudo apt-get install -y wrk")
    with progress.step("install wrk"):
        progress.run(["apt-get", "install", "-y", "-qq", "wrk"], "bench-wrk")


def measure(
    server: Running, model: Model, encoding: Encoding, connections: int, seconds: float, core: int, work: Path
) -> Measured:
    """Ask the server for `seconds` from `core`.

    Raises:
        HarnessError: wrk failed, or an answer was not the model's.
    """
    asked = question(model, encoding)
    _verify(server, model, asked)
    body = work / f"{model.name}-{encoding}.body"
    body.write_bytes(asked.body)
    headers = [part for header in asked.headers.items() for part in header]
    command = [
        *("taskset", "--cpu-list", str(core), "wrk", "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{seconds:g}s", "--timeout", "10s", "--script", str(_SCRIPT)),
        *(f"http://127.0.0.1:{server.port}{server.path}", str(body), *headers),
    ]
    before = server.process.processor_seconds
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    if finished.returncode != 0:
        raise HarnessError(f"wrk failed with {finished.returncode}: {finished.stderr or finished.stdout}")
    computed = server.process.processor_seconds - before
    _verify(server, model, asked)
    return parse(finished.stdout, computed)


def parse(output: str, processor_seconds: float) -> Measured:
    """Read what the script has wrk print.

    Raises:
        HarnessError: the result line is missing.
    """
    line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise HarnessError(f"wrk reported no result: {output[-500:]!r}")
    result = json.loads(line.removeprefix(_MARK))
    seconds = result["microseconds"] / 1e6
    return Measured(result["requests"], seconds, processor_seconds, result["refused"], result["broken"])


def _verify(server: Running, model: Model, asked: Question) -> None:
    for _ in range(SAMPLE):
        reply = ask(server.port, "POST", server.path, asked.body, asked.headers)
        if reply.status != 200 or model.version_of(answer(reply.body, reply.headers)) is None:
            raise HarnessError(f"{model.name} answered wrongly, {reply.status}: {reply.body[:300]!r}")
