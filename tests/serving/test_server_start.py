"""How the server starts from a document: fetching, verifying, testing, and the ways in which that fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from luntra_serving.bundle.pack import pack
from luntra_serving.server.main import parse
from tests.serving.bundles import POINTS, points_bundle, replace_text
from tests.serving.processes import ServerProcess, get, post, until

if TYPE_CHECKING:
    from luntra_serving.bundle.verify import Bundle

Document = Callable[..., Path]


def last_words(tmp_path: Path) -> dict[str, str]:
    return {"LUNTRA_TERMINATION_LOG": str(tmp_path / "termination-log")}


def refused(document: Path, tmp_path: Path) -> str:
    """Start a server that must end with code 3; return its termination message, which must also be in its log."""
    with ServerProcess(
        "--document", document, "--cache-dir", tmp_path / "cache", environment=last_words(tmp_path)
    ) as server:
        assert server.wait() == 3
        message = (tmp_path / "termination-log").read_text()
        reason, _, why = message.partition(": ")
        assert any(entry.get("reason") == reason and entry.get("why") == why for entry in server.logs)
    assert not list((tmp_path / "cache").glob("unfinished/*"))
    return message


class TestStart:
    def test_a_document_is_fetched_into_the_cache_tested_and_served(
        self, points: Bundle, document: Document, tmp_path: Path
    ) -> None:
        cache = tmp_path / "cache"
        with ServerProcess("--document", document(points, version="2026-11"), "--cache-dir", cache) as server:
            server.wait_ready()
            reply = get(server.address, "/v2/models/points")
            assert reply.headers["x-model-version"] == "2026-11"
            state = server.state("points")
        assert state["observedGeneration"] == 4
        assert state["versions"][0]["residentBytes"]["host"] > points.manifest.total_bytes
        assert state["versions"][0] | {"loadSeconds": None, "residentBytes": None} == {
            "version": "2026-11",
            "revision": "3f2a9c1d0b",
            "digest": points.digest,
            "uri": points.folder.as_uri(),
            "state": "Ready",
            "reason": None,
            "message": None,
            "stage": None,
            "inFlight": 0,
            "residentBytes": None,
            "loadSeconds": None,
        }
        assert (cache / "bundles" / points.digest.removeprefix("sha256:") / "model.onnx").is_file()

    def test_without_a_host_both_ports_listen_on_loopback_only(self, points_server: ServerProcess) -> None:
        assert points_server.address.startswith("127.0.0.1:")
        assert points_server.management.startswith("127.0.0.1:")

    def test_a_candidate_that_cannot_be_loaded_does_not_keep_the_stable_version_from_starting(
        self, points: Bundle, document: Document, tmp_path: Path
    ) -> None:
        path = document(points)
        candidate = {"version": "v2", "weight": 5, "uri": points.folder.as_uri(), "digest": "sha256:" + "0" * 64}
        path.write_text(json.dumps({**json.loads(path.read_text()), "candidate": candidate}))
        with ServerProcess("--document", path, "--cache-dir", tmp_path / "cache") as server:
            server.wait_ready()
            until(lambda: server.state("points")["versions"][-1]["state"] == "Failed", "the candidate's failure")
            assert [(one["version"], one["reason"]) for one in server.state("points")["versions"]] == [
                ("v1", None),
                ("v2", "DigestMismatch"),
            ]
            assert get(server.address, "/v2/health/ready").status == 200

    def test_while_the_source_is_away_the_server_lives_is_not_ready_and_recovers_when_it_returns(
        self, points: Bundle, document: Document, tmp_path: Path
    ) -> None:
        path = document(points)
        hidden = points.folder.rename(tmp_path / "not-yet")
        with ServerProcess("--document", path, "--cache-dir", tmp_path / "cache") as server:
            until(lambda: any("cannot be loaded yet" in entry["message"] for entry in server.logs), "a failed attempt")
            assert get(server.address, "/v2/health/live").status == 200
            assert get(server.address, "/v2/health/ready").status == 503
            assert get(server.address, "/v2/models/points/ready").status == 503
            body = {"name": "points", "datatype": "FP32", "shape": [2, 3], "data": POINTS.tolist()}
            early = post(server.address, "/v2/models/points/infer", {"inputs": [body]})
            assert (early.status, early.headers["retry-after"]) == (503, "1")
            assert early.headers["x-model-version"] == "v1"
            assert server.state("points")["versions"][0]["reason"] == "SourceUnavailable"
            hidden.rename(points.folder)
            server.wait_ready()

    def test_serving_writes_nothing_outside_its_cache_not_even_a_librarys_telemetry(
        self, points: Bundle, document: Document, tmp_path: Path
    ) -> None:
        home = tmp_path / "home"
        home.mkdir()
        paths = {name: str(home) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR")}
        arguments = ("--document", document(points), "--cache-dir", tmp_path / "cache", "--termination-delay", "0")
        with ServerProcess(*arguments, environment=paths) as server:
            server.wait_ready()
            body = {"name": "points", "datatype": "FP32", "shape": [2, 3], "data": POINTS.tolist()}
            assert post(server.address, "/v2/models/points/infer", {"inputs": [body]}).status == 200
            server.terminate()
            assert server.wait() == 0
        assert list(home.rglob("*")) == []

    def test_a_busy_port_is_named(self, points: Bundle, points_server: ServerProcess) -> None:
        port = points_server.address.rsplit(":", 1)[1]
        command = [sys.executable, "-m", "luntra_serving.server.main", str(points.folder), "--http-port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 2
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another port" in ended.stderr


class TestPermanentFailure:
    def test_a_wrong_digest_is_refused_before_the_manifest_is_parsed(
        self, points: Bundle, document: Document, tmp_path: Path
    ) -> None:
        (points.folder / "model.yaml").write_text("{not yaml")
        message = refused(document(points), tmp_path)
        assert message.startswith("DigestMismatch: model.yaml at file:///")
        assert points.digest in message

    def test_a_changed_file_is_refused(self, points: Bundle, document: Document, tmp_path: Path) -> None:
        content = (points.folder / "model.onnx").read_bytes()
        (points.folder / "model.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert refused(document(points), tmp_path).startswith("DigestMismatch: file 'model.onnx'")

    @pytest.mark.parametrize("path", ["../outside.onnx", "/etc/passwd", "a/../../x", "weights\\\\model.onnx"])
    def test_a_path_that_leaves_the_bundle_is_refused_though_its_digest_is_right(
        self, points: Bundle, document: Document, tmp_path: Path, path: str
    ) -> None:
        digest = replace_text(points.folder, "path: model.onnx", f'path: "{path}"')
        (tmp_path / "outside.onnx").write_bytes((points.folder / "model.onnx").read_bytes())
        message = refused(document(points, digest=digest), tmp_path)
        assert message.startswith("InvalidBundle: model.yaml files.0.path: path ")

    def test_an_unknown_scheme_is_refused_with_those_that_work(
        self, points: Bundle, document: Document, tmp_path: Path
    ) -> None:
        message = refused(document(points, uri="s3://bucket/points"), tmp_path)
        assert message.startswith("UnsupportedScheme: uri 's3://bucket/points' has the scheme 's3'")
        assert "https://host/path and file:///path" in message

    def test_an_unknown_backend_is_refused_with_those_that_work(self, document: Document, tmp_path: Path) -> None:
        bundle = points_bundle(tmp_path / "b", backend={"name": "caffe", "entry": "model.onnx"})
        assert refused(document(bundle), tmp_path) == (
            "UnsupportedBackend: backend 'caffe' is not known to this server; it has onnx, torchscript"
        )

    def test_a_self_test_that_comes_out_differently_is_refused_with_value_and_bound(
        self, document: Document, tmp_path: Path
    ) -> None:
        wrong = np.array([[0.5, 0.5], [0.25, 0.75]], dtype=np.float32)
        bundle = points_bundle(tmp_path / "b", samples=wrong)
        message = refused(document(bundle), tmp_path)
        assert message.startswith("SelfTestFailed: output 'probabilities' at [")
        assert "within" in message

    def test_a_model_file_that_is_no_model_is_refused(self, points: Bundle, document: Document, tmp_path: Path) -> None:
        (points.folder / "model.onnx").write_bytes(b"not an onnx file")
        bundle = pack(points.folder)
        assert refused(document(bundle), tmp_path).startswith("LoadFailed: onnxruntime ")

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"generation": -1}, "generation: Input should be greater than or equal to 0"),
            ({"model": "a/b"}, "model: "),
            ({"stable": {"version": "v1", "uri": "file:///x"}}, "stable.digest: Field required"),
            ({"stable": {"version": "v1", "uri": "file:///x", "digest": "md5:1"}}, "stable.digest: "),
        ],
    )
    def test_a_document_with_an_error_names_the_field(
        self, points: Bundle, document: Document, tmp_path: Path, change: dict[str, object], problem: str
    ) -> None:
        path = document(points)
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        message = refused(path, tmp_path)
        assert message.startswith("InvalidDocument: ")
        assert problem in message

    def test_a_missing_document_is_named(self, tmp_path: Path) -> None:
        assert "cannot be read: No such file or directory" in refused(tmp_path / "none.json", tmp_path)


class TestTransientFailure:
    def test_an_unreachable_source_ends_with_code_1_after_the_retries(
        self, points: Bundle, document: Document, tmp_path: Path
    ) -> None:
        path = document(points, uri="https://127.0.0.1:9/points")
        arguments = ("--document", path, "--cache-dir", tmp_path / "cache")
        with ServerProcess(*arguments, impatient=True, environment=last_words(tmp_path)) as server:
            assert server.wait() == 1
            assert sum("cannot be loaded yet" in entry["message"] for entry in server.logs) == 1
        message = (tmp_path / "termination-log").read_text()
        assert message.startswith("SourceUnavailable: https://127.0.0.1:9/points/model.yaml: ")

    def test_a_cache_that_cannot_be_written_ends_with_code_1(
        self, points: Bundle, document: Document, tmp_path: Path
    ) -> None:
        (tmp_path / "cache").write_text("a file where a folder should be")
        arguments = ("--document", document(points), "--cache-dir", tmp_path / "cache")
        with ServerProcess(*arguments, impatient=True, environment=last_words(tmp_path)) as server:
            assert server.wait() == 1
        assert (tmp_path / "termination-log").read_text().startswith("CacheUnavailable: the cache below ")


class TestCommandLine:
    def test_a_pod_and_a_laptop_get_their_own_defaults(self, tmp_path: Path) -> None:
        pod = parse(["--document", "d.json"])
        laptop = parse([str(tmp_path)])
        assert (pod.deadline, pod.termination_delay, pod.max_queue, pod.host) == (0.5, 5.0, 256, "127.0.0.1")
        assert (laptop.deadline, laptop.termination_delay, laptop.host) == (30.0, 0.0, "127.0.0.1")

    def test_every_flag_of_the_operator_is_taken(self) -> None:
        line = (
            "--document /etc/luntra/document.json --host 0.0.0.0 --http-port 8080 --management-host 0.0.0.0"
            " --management-port 8090 --cache-dir /var/cache/luntra --termination-delay 5s --deadline 1m30s"
            " --max-queue 7 --max-batch 32 --batch-delay 2ms"
        )
        settings = parse(line.split())
        assert (settings.host, settings.management_host, settings.deadline) == ("0.0.0.0", "0.0.0.0", 90.0)
        assert (settings.max_queue, settings.max_batch, settings.batch_delay) == (7, 32, 0.002)

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("", "one of the arguments BUNDLE --document is required"),
            (
                "--document d --deadline 5",
                "'5' is not a duration: write numbers with units, such as 500ms, 5s or 1m30s",
            ),
            ("--document d --http-port 70000", "'70000' is not a port; use 0 to 65535"),
            ("--document d --max-queue -1", "'-1' is not a count"),
        ],
    )
    def test_a_wrong_command_line_says_what_is_wrong(
        self, line: str, problem: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            parse(line.split())
        assert ended.value.code == 2
        assert problem in capsys.readouterr().err
