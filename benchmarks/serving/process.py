"""Server processes on a core of their own: started, watched until they answer, and stopped with all their children."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind.errors import HarnessError
from e2e.kind.progress import dies_with_us, tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reply:
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """One request to this host on a connection of its own. Raises OSError if nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cores() -> tuple[int, int]:
    """The core for the client and the core for the server.

    Raises:
        HarnessError: this process may use one core only.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise HarnessError(
            "the benchmark needs two cores, one for the client and one for the server; this process has 1"
        )
    return usable[0], usable[-1]


class ServerProcess:
    """A program in a process group of its own, pinned to `core` (None: to none), its output in the file `log`."""

    def __init__(
        self, command: Sequence[str], core: int | None, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        if shutil.which("taskset") is None:
            raise HarnessError("taskset: not found; install util-linux")
        pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                dies_with_us([*pinned, *command]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=log.parent,
                start_new_session=True,
            )

    def wait_ready(self, port: int, path: str) -> None:
        """Wait until GET `path` is 200.

        Raises:
            HarnessError: the program ended, or did not answer in time; with the end of its log.
        """
        limit = time.monotonic() + _START_SECONDS
        while time.monotonic() < limit and self._process.poll() is None:
            try:
                if ask(port, "GET", path).status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass  # it does not listen yet
            time.sleep(0.05)
        what = "did not answer in time" if self._process.poll() is None else f"ended with {self._process.returncode}"
        self.stop()
        raise HarnessError(f"{self._process.args!r} {what}; the end of {self._log}:\n{tail(self._log)}")

    def check(self) -> None:
        """Raise HarnessError, with the end of its log, if it has ended."""
        if self._process.poll() is not None:
            raise HarnessError(
                f"{self._process.args!r} ended with {self._process.returncode}; the end of {self._log}:\n{tail(self._log)}"
            )

    @property
    def resident_bytes(self) -> int:
        """Resident memory of the whole process group; what its processes share is counted for each."""
        return sum(int(fields[21]) * _PAGE for fields in self._group())

    @property
    def processor_seconds(self) -> float:
        """Processor time that the process group has taken, without processes that have ended."""
        return sum(int(fields[11]) + int(fields[12]) for fields in self._group()) / _TICKS

    def _group(self) -> Iterator[list[str]]:
        """The fields of /proc/PID/stat from the state on, for each process of the group (man proc_pid_stat)."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended since
            if int(fields[2]) == self._process.pid:
                yield fields

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for whatever is left of the group."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with contextlib.suppress(ProcessLookupError):  # which is as it should be: nobody of the group is left
            os.killpg(self._process.pid, signal.SIGKILL)
