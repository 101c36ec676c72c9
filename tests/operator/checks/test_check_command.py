"""The command as a Job runs it: environment in, termination message and exit code out."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from luntra_operator.checks.config import read
from luntra_operator.checks.errors import CheckError
from luntra_operator.checks.report import LARGEST, document, exit_code
from luntra_operator.checks.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

TLS = Path(__file__).parent / "tls"


def check(log: Path, config: object, **environment: str) -> tuple[int, dict[str, Any], str]:
    text = config if isinstance(config, str) else json.dumps(config)
    done = subprocess.run(
        [sys.executable, "-m", "luntra_operator.checks.main"],
        env={**os.environ, "LUNTRA_CHECK": text, "LUNTRA_TERMINATION_LOG": str(log), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, json.loads(log.read_text()), done.stdout + done.stderr


def evaluation(server: Any, dataset: dict[str, str], **fields: Any) -> dict[str, Any]:
    block = {"dataset": dataset, "metric": "accuracy", "min": 0.9, "timeout": "20s"} | fields
    return {"kind": "evaluation", "model": "digits", "candidate": server.url, "stable": None, "evaluation": block}


@pytest.fixture
def https_folder(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder served over https with a certificate of our own for localhost."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "localhost.crt", TLS / "localhost.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield tmp_path, f"https://localhost:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_set_is_fetched_over_https_and_the_verdict_left_for_the_operator(
    serve: Any, onehot: Any, npz_bytes: Any, https_folder: tuple[Path, str], tmp_path: Path
) -> None:
    folder, base = https_folder
    (folder / "eval.npz").write_bytes(npz_bytes(**onehot))
    digest = "sha256:" + hashlib.sha256((folder / "eval.npz").read_bytes()).hexdigest()
    config = evaluation(serve(), {"uri": f"{base}/eval.npz", "digest": digest})
    code, left, output = check(tmp_path / "log", config, SSL_CERT_FILE=str(TLS / "localhost.crt"))
    assert (code, left["verdict"]) == (0, "Pass"), output
    assert left == json.loads(output.splitlines()[-1])
    assert left["candidate"] == {"accuracy": 1.0}
    assert left["stable"] is None


def test_a_missing_set_over_https_is_named(serve: Any, https_folder: tuple[Path, str], tmp_path: Path) -> None:
    config = evaluation(serve(), {"uri": f"{https_folder[1]}/gone.npz", "digest": "sha256:" + "a" * 64})
    code, left, output = check(tmp_path / "log", config, SSL_CERT_FILE=str(TLS / "localhost.crt"))
    assert (code, left["reason"]) == (1, "DatasetUnreachable"), output
    assert "gone.npz" in left["message"]


def test_a_failed_candidate_exits_0_for_the_verdict_is_in(serve: Any, onehot: Any, pinned: Any, tmp_path: Path) -> None:
    dataset = pinned(x=onehot["x"], labels=np.roll(onehot["labels"], 1))
    code, left, _ = check(tmp_path / "log", evaluation(serve(), dataset))
    assert (code, left["verdict"], left["reason"]) == (0, "Fail", "AccuracyBelowMinimum")


def test_a_benchmark_is_run_with_made_up_samples(serve: Any, tmp_path: Path) -> None:
    config = {
        "kind": "benchmark",
        "model": "digits",
        "candidate": serve().url,
        "benchmark": {"requests": 50, "maxP99": "5s"},
    }
    code, left, _ = check(tmp_path / "log", config)
    assert (code, left["verdict"], left["samples"]) == (0, "Pass", 50)
    assert left["candidate"]["errorRate"] == 0


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ("{", "JSON"),
        ({"kind": "evaluation", "model": "m", "candidate": "http://c"}, "block `evaluation` is missing"),
        ({"kind": "guess", "model": "m", "candidate": "http://c"}, "kind"),
        ({"kind": "benchmark", "model": "m", "candidate": "c:80", "benchmark": {}}, "http://HOST:PORT"),
        ({"kind": "benchmark", "model": "m", "candidate": "http://c", "benchmark": {"maxp99": "1s"}}, "maxp99"),
        ({"kind": "benchmark", "model": "m", "candidate": "http://c", "benchmark": {"maxP99": "1d"}}, "maxP99"),
    ],
)
def test_a_wrong_configuration_names_the_field(config: object, field: str) -> None:
    text = config if isinstance(config, str) else json.dumps(config)
    with pytest.raises(CheckError, match=field):
        read({"LUNTRA_CHECK": text})


def test_a_missing_configuration_names_the_variable() -> None:
    with pytest.raises(CheckError, match="LUNTRA_CHECK is not set"):
        read({})


def test_a_wrong_configuration_is_reported_like_a_verdict(tmp_path: Path) -> None:
    code, left, output = check(tmp_path / "log", {"kind": "evaluation"})
    assert (code, left["verdict"], left["reason"]) == (1, "Error", "InvalidConfiguration")
    assert "Traceback" not in output


def test_a_log_that_cannot_be_written_does_not_lose_the_verdict(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "luntra_operator.checks.main"],
        env={**os.environ, "LUNTRA_CHECK": "{}", "LUNTRA_TERMINATION_LOG": str(tmp_path / "missing" / "log")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(done.stdout.splitlines()[0])["reason"] == "InvalidConfiguration"
    assert "cannot be written" in done.stdout


@pytest.mark.parametrize("message", ["x" * 10_000, "ü" * 10_000, '"\\\n' * 5_000])
def test_a_long_message_is_shortened_to_what_kubernetes_keeps(message: str) -> None:
    log = tuple(f"line {number} {message[:180]}" for number in range(20))
    text = document(Verdict("evaluation", "Fail", "RequestsFailed", message, log=log))
    assert len(text.encode()) <= LARGEST
    read_back = json.loads(text)
    assert read_back["log"][-1] == log[-1], "the last lines are kept"
    assert read_back["message"].endswith("…")
    assert len(read_back["message"]) > 500
    assert read_back["reason"] == "RequestsFailed"


def test_report_says_whether_stable_alone_is_to_blame() -> None:
    verdict = Verdict("benchmark", "NoData", "StableUnavailable", "")
    assert json.loads(document(verdict))["stableFailed"] is False
    assert json.loads(document(replace(verdict, stable_failed=True)))["stableFailed"] is True


def test_figures_that_are_not_finite_are_null() -> None:
    verdict = Verdict("benchmark", "NoData", "NotANumber", "", 0, {"p99Ms": float("nan"), "x": float("inf")}, {})
    read_back = json.loads(document(verdict))
    assert read_back["candidate"] == {"p99Ms": None, "x": None}
    assert read_back["stable"] == {}


@pytest.mark.parametrize(
    ("verdict", "reason", "final"),
    [
        ("Fail", "RequestsFailed", True),
        ("Error", "DatasetDigestMismatch", True),
        ("NoData", "StableOverloaded", False),
        ("Error", "DatasetUnreachable", False),
        ("NoData", "StableUnavailable", False),
    ],
)
def test_report_says_whether_another_try_is_worth_it(verdict: Any, reason: str, final: bool) -> None:
    assert json.loads(document(Verdict("benchmark", verdict, reason, "")))["final"] is final


@pytest.mark.parametrize(("verdict", "code"), [("Pass", 0), ("Fail", 0), ("NoData", 1), ("Error", 1)])
def test_only_a_conclusion_exits_0(verdict: Any, code: int) -> None:
    assert exit_code(Verdict("evaluation", verdict, "R", "m")) == code
