"""Several models in one process: from the command line, from documents, and added and removed while it serves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from luntra_serving.server.grpc import messages
from tests.serving.bundles import points_bundle
from tests.serving.processes import Reply, ServerProcess, ask, get, post, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle

QUESTION = {"inputs": [{"name": "points", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 1.0, 2.0]}]}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Two versions of model `gas` and one of `mev`."""
    folder = tmp_path_factory.mktemp("models")
    return {
        name + version: points_bundle(folder / (name + version), name=name, version=version)
        for name, version in (("gas", "v1"), ("gas", "v2"), ("mev", "v1"))
    }


def document(bundle: Bundle, generation: int = 1) -> dict[str, Any]:
    manifest = bundle.manifest
    stable = {"version": manifest.version, "uri": bundle.folder.as_uri(), "digest": bundle.digest}
    return {"generation": generation, "model": manifest.name, "stable": stable}


def put(server: ServerProcess, bundle: Bundle, generation: int = 1) -> Reply:
    body = json.dumps(document(bundle, generation)).encode()
    return ask(server.management, f"/v1/models/{bundle.manifest.name}", "PUT", body)


def infer(server: ServerProcess, model: str) -> tuple[int, str | None]:
    reply = post(server.address, f"/v2/models/{model}/infer", QUESTION)
    return reply.status, reply.headers.get("x-model-version")


@pytest.fixture
def command(bundles: dict[str, Bundle], tmp_path: Path) -> list[str | Path]:
    """A server that was started for `gas` alone, as a pod is."""
    (tmp_path / "gas.json").write_text(json.dumps(document(bundles["gasv1"])))
    return ["--document", tmp_path / "gas.json", "--cache-dir", tmp_path / "cache", "--termination-delay", "0s"]


@pytest.fixture
def server(command: list[str | Path]) -> Iterator[ServerProcess]:
    with ServerProcess(*command, impatient=True) as server:
        yield server.wait_ready()


def test_laptop_serves_several_folders_over_both_protocols(bundles: dict[str, Bundle]) -> None:
    with ServerProcess(bundles["gasv1"].folder, bundles["mevv1"].folder, "--grpc-port", "0") as server:
        server.wait_ready()
        assert (infer(server, "gas"), infer(server, "mev")) == ((200, "v1"), (200, "v1"))
        missing = get(server.address, "/v2/models/arb")
        assert (missing.status, missing.error) == (404, "model 'arb' is not served here; this server has 'gas', 'mev'")
        names = {one["name"] for one in json.loads(get(server.management, "/v1/models").body)["models"]}
        assert names == {"gas", "mev"}
        with grpc.insecure_channel(server.grpc) as channel:
            index = channel.unary_unary(f"/{messages.SERVICE}/RepositoryIndex")(b"")
            assert {one.name for one in messages.RepositoryIndexResponse.FromString(index).models} == {"gas", "mev"}
            found = messages.ModelStatisticsResponse.FromString(
                channel.unary_unary(f"/{messages.SERVICE}/ModelStatistics")(b"")
            )
            assert {(one.name, one.inference_count) for one in found.model_stats} == {("gas", 1), ("mev", 1)}
        until(lambda: sum("is ready at" in line for line in server.output) == 2, "a greeting for each")
        assert server.metric('luntra_inference_requests_total{code="200",model="mev",version="v1"}') == 1


def test_one_model_that_cannot_be_loaded_ends_a_process_that_was_started_for_it(
    bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    paths: list[str | Path] = []
    for name in ("gasv1", "mevv1"):
        content = document(bundles[name])
        if name == "mevv1":
            content["stable"]["digest"] = "sha256:" + "0" * 64
        paths += ["--document", tmp_path / f"{name}.json"]
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with ServerProcess(*paths, "--cache-dir", tmp_path / "cache", impatient=True) as server:
        assert server.wait() == 3


def test_one_model_twice_is_refused(bundles: dict[str, Bundle]) -> None:
    with ServerProcess(bundles["gasv1"].folder, bundles["gasv2"].folder) as server:
        assert server.wait() == 3
        assert any("'gas' is named 2 times" in entry.get("why", "") for entry in server.logs)


def test_model_is_added_followed_and_removed_while_another_one_serves(
    server: ServerProcess, bundles: dict[str, Bundle]
) -> None:
    assert infer(server, "mev") == (404, None)
    assert put(server, bundles["mevv1"]).status == 201
    until(lambda: infer(server, "mev") == (200, "v1"), "the added model")
    assert put(server, bundles["mevv1"]).status == 200, "the same again changes nothing"
    assert server.metric('luntra_inference_requests_total{model="mev"}') == 1
    assert ask(server.management, "/v1/models/mev", "DELETE").status == 204
    assert server.metric('luntra_inference_requests_total{model="mev"}') == 0, "its numbers stay for ever"
    assert infer(server, "mev") == (404, None)
    assert infer(server, "gas") == (200, "v1")
    assert get(server.management, "/v1/models/mev").status == 404
    until(lambda: _events(server, "mev")[-1] == "Reclaimed", "its memory to be given back")
    assert ask(server.management, "/v1/models/mev", "DELETE").status == 404
    assert put(server, bundles["mevv1"]).status == 201, "it may come back"


def _events(server: ServerProcess, model: str) -> list[str]:
    events = json.loads(get(server.management, "/v1/events").body)["events"]
    return [one["event"] for one in events if one["model"] == model]


def test_model_that_the_process_was_started_for_is_not_removed(server: ServerProcess) -> None:
    refused = ask(server.management, "/v1/models/gas", "DELETE")
    assert (refused.status, refused.error) == (
        409,
        "model 'gas' is what this server was started for; end the server instead",
    )
    assert infer(server, "gas") == (200, "v1")


def test_added_model_that_cannot_be_loaded_makes_nobody_unready(
    server: ServerProcess, bundles: dict[str, Bundle]
) -> None:
    body = document(bundles["mevv1"])
    body["stable"]["digest"] = "sha256:" + "0" * 64
    assert ask(server.management, "/v1/models/mev", "PUT", json.dumps(body).encode()).status == 201
    until(lambda: server.state("mev")["versions"][0]["state"] == "Failed", "the failure")
    assert get(server.address, "/v2/health/ready").status == 200
    assert get(server.address, "/v2/models/mev/ready").status == 503
    assert infer(server, "gas") == (200, "v1")
    assert put(server, bundles["mevv1"], 2).status == 200
    until(lambda: infer(server, "mev") == (200, "v1"), "the corrected document")


def test_restarted_server_serves_what_was_added_and_not_what_was_removed(
    command: list[str | Path], bundles: dict[str, Bundle]
) -> None:
    with ServerProcess(*command) as server:
        server.wait_ready()
        put(server, bundles["gasv2"], 7)
        put(server, bundles["mevv1"])
        until(lambda: infer(server, "mev") == (200, "v1"), "the added model")
        server.terminate()
        server.wait()
    with ServerProcess(*command) as server:
        server.wait_ready()
        assert infer(server, "gas") == (200, "v2")
        until(lambda: infer(server, "mev") == (200, "v1"), "the added model")
        ask(server.management, "/v1/models/mev", "DELETE")
        server.terminate()
        server.wait()
    with ServerProcess(*command) as server:
        server.wait_ready()
        assert infer(server, "gas") == (200, "v2")
        assert infer(server, "mev") == (404, None)
