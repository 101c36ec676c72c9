"""wrk's report, the order of the servers, and the server processes that the benchmark starts and ends."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from benchmarks.serving.closed_loop import parse
from benchmarks.serving.machine import seconds_of
from benchmarks.serving.process import ServerProcess, free_port
from benchmarks.serving.servers import NAMES
from benchmarks.serving.throughput import turns
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from pathlib import Path

_WITH_A_CHILD = (
    "import http.server, subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
)


def test_wrk_s_result_is_read_from_among_its_other_lines() -> None:
    output = 'Running 2s test\n\nRESULT {"requests":3000,"microseconds":1500000,"refused":2,"broken":1}\n'
    measured = parse(output, processor_seconds=1.2)
    assert measured.rate == 2000
    assert measured.cost == pytest.approx(0.0004)
    assert (measured.refused, measured.broken) == (2, 1)


def test_wrk_without_a_result_is_an_error_with_what_it_said() -> None:
    with pytest.raises(HarnessError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1", 0.0)


def test_another_server_begins_at_each_repeat_and_all_have_their_turn() -> None:
    assert [turns("abc", repeat) for repeat in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_ours_is_the_first_server_of_every_table() -> None:
    assert NAMES[0] == "luntra"


def test_the_time_of_a_statement_is_without_the_loop_around_it() -> None:
    assert seconds_of("pass", {}, 1000) < 1e-7
    assert seconds_of("sum(numbers)", {"numbers": range(1000)}, 100) > 1e-6


def test_a_stopped_server_leaves_no_child_behind(tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "server.log"
    core = min(os.sched_getaffinity(0))
    process = ServerProcess([sys.executable, "-c", _WITH_A_CHILD, str(port)], core, log)
    try:
        process.wait_ready(port, "/")
        child = int(log.read_text().split()[0])
        assert process.resident_bytes > 4 << 20
        assert process.processor_seconds > 0
        assert os.sched_getaffinity(child) == {core}
    finally:
        process.stop()
    assert _ends(child)
    assert process.resident_bytes == 0


def test_a_server_that_ends_at_once_is_an_error_with_its_log(tmp_path: Path) -> None:
    process = ServerProcess([sys.executable, "-c", "raise SystemExit('no such model')"], 0, tmp_path / "server.log")
    with pytest.raises(HarnessError, match="no such model"):
        process.wait_ready(free_port(), "/")


def _ends(pid: int) -> bool:
    """Whether a process is gone, or a zombie that nobody has waited for yet, within five seconds."""
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        try:
            with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - it may vanish while it is read
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.01)
    return False
