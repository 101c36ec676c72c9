"""The model is replaced while clients ask over gRPC."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from tests.serving.bundles import POINTS, expected, points_bundle, target
from tests.serving.clients import Clients
from tests.serving.processes import ServerProcess, post, put, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


CLIENTS = 3


def state_of(server: ServerProcess, version: str) -> str:
    [state] = [one["state"] for one in server.state("points")["versions"] if one["version"] == version]
    return state


def infer(client: triton.InferenceServerClient, headers: dict[str, str] | None = None) -> triton.InferResult:
    points = triton.InferInput("points", [2, 3], "FP32")
    points.set_data_from_numpy(POINTS)
    return client.infer("points", [points], client_timeout=30, headers=headers)


class Load(Clients):
    """Clients that ask all the time; which versions answered whom, in order, and what went wrong."""

    def __init__(self, address: str) -> None:
        self.versions: list[list[str]] = [[] for _ in range(CLIENTS)]
        self._address = address
        super().__init__(CLIENTS)

    def answered_by(self, version: str) -> bool:
        """Whether every client has had its latest answer from that version."""
        return all(seen and seen[-1] == version for seen in self.versions)

    def ask(self, number: int) -> None:
        with triton.InferenceServerClient(self._address) as client:
            while not self.stop.is_set():
                try:
                    result = infer(client)
                except triton.InferenceServerException as error:
                    self.problems.append(str(error))
                    continue
                if not np.allclose(result.as_numpy("probabilities"), expected(POINTS), rtol=1e-5):
                    self.problems.append("other numbers")
                self.versions[number].append(result.get_response().model_version)


def test_model_is_replaced_and_taken_back_without_a_lost_request(document: Callable[..., Path], tmp_path: Path) -> None:
    bundles = {name: points_bundle(tmp_path / name, version=name) for name in ("v1", "v2", "v3")}
    # A second of delay has the connections renewed meanwhile, too.
    command = ("--document", document(bundles["v1"]), "--cache-dir", tmp_path / "cache", "--termination-delay", "1s")
    order = ["v2", "v3", "v2", "v1", "v3", "v1"]
    with ServerProcess(*command, "--grpc-port", "0", "--deadline", "10s") as server:
        with Load(server.wait_ready().grpc) as load:
            until(lambda: load.answered_by("v1"), "v1")
            for generation, version in enumerate(order, start=5):
                assert put(server, generation, target(bundles[version])).status == 200
                until(lambda name=version: load.answered_by(name), version)  # type: ignore[misc]
        assert load.problems == []
        for seen in load.versions:
            changes = [later for earlier, later in pairwise(seen) if earlier != later]
            assert changes == order, "one version after the other, and never back between two promotions"
        until(lambda: server.metric('luntra_inference_in_flight{model="points",version="v1"}') == 0, "the last one")
        assert {one["inFlight"] for one in server.state("points")["versions"]} == {0}


def test_candidate_gets_its_share_of_grpc_requests_and_can_be_named(
    document: Callable[..., Path], tmp_path: Path
) -> None:
    bundles = {name: points_bundle(tmp_path / name, version=name) for name in ("v1", "v2")}
    command = ("--document", document(bundles["v1"]), "--cache-dir", tmp_path / "cache", "--grpc-port", "0")
    with (
        ServerProcess(*command, "--deadline", "10s") as server,
        triton.InferenceServerClient(server.wait_ready().grpc) as client,
    ):
        stable = target(bundles["v1"], revision="3f2a9c1d0b")
        assert put(server, 5, stable, candidate=target(bundles["v2"], weight=25)).status == 200
        until(lambda: server.state("points")["weight"] == 25, "the candidate's weight")
        answers = [infer(client).get_response().model_version for _ in range(40)]
        assert answers.count("v2") == 10
        assert client.get_model_metadata("points", "v2").versions == ["v2"]
        index = client.get_model_repository_index().models
        assert sorted((one.version, one.state) for one in index) == [("v1", "READY"), ("v2", "READY")]


def test_h17_session_has_the_same_version_over_both_protocols(document: Callable[..., Path], tmp_path: Path) -> None:
    bundles = {name: points_bundle(tmp_path / name, version=name) for name in ("v1", "v2")}
    command = ("--document", document(bundles["v1"]), "--cache-dir", tmp_path / "cache", "--grpc-port", "0")
    question = {"inputs": [{"name": "points", "datatype": "FP32", "shape": [2, 3], "data": POINTS.tolist()}]}
    with (
        ServerProcess(*command, "--deadline", "10s") as server,
        triton.InferenceServerClient(server.wait_ready().grpc) as client,
    ):
        stable, candidate = target(bundles["v1"], revision="3f2a9c1d0b"), target(bundles["v2"], weight=50)
        assert put(server, 5, stable, candidate=candidate, session={"header": "X-Session-Id"}).status == 200
        until(lambda: server.state("points")["weight"] == 50, "the candidate's weight")
        seen = []
        for number in range(30):
            session = {"x-session-id": f"episode-{number}"}
            over_http = post(server.address, "/v2/models/points/infer", question, session).headers["x-model-version"]
            over_grpc = infer(client, session).get_response().model_version
            assert over_grpc == over_http
            seen.append(over_grpc)
        assert set(seen) == {"v1", "v2"}


async def storm(address: str, calls: int) -> dict[str, int]:
    """Answered, refused, cancelled and late requests, many at once; how many ended in which way."""
    ends: dict[str, int] = {}
    chance = random.Random(7)

    async def one(client: triton_aio.InferenceServerClient) -> None:
        rows = chance.choice([1, 2, 500])
        points = triton.InferInput("points", [rows, 3], "FP32")
        points.set_data_from_numpy(np.zeros((rows, 3), np.float32))
        name = chance.choice(["points", "points", "points", "lines"])
        version = chance.choice(["", "", "", "v9"])
        call = asyncio.create_task(
            client.infer(name, [points], version, client_timeout=chance.choice([None, None, 0.001, 0.01]))
        )
        if chance.random() < 0.3:
            await asyncio.wait([call], timeout=chance.random() / 100)
            call.cancel()
        try:
            await call
            end = "OK"
        except asyncio.CancelledError:
            end = "CANCELLED"
        except triton.InferenceServerException as error:
            end = error.status().removeprefix("StatusCode.")
        ends[end] = ends.get(end, 0) + 1

    async with triton_aio.InferenceServerClient(address) as client:
        for _ in range(calls // 20):
            await asyncio.gather(*[one(client) for _ in range(20)])
    return ends


def test_no_version_is_held_by_what_became_of_its_requests(document: Callable[..., Path], tmp_path: Path) -> None:
    bundles = {name: points_bundle(tmp_path / name, version=name) for name in ("v1", "v2", "v3")}
    command = ("--document", document(bundles["v1"]), "--cache-dir", tmp_path / "cache", "--grpc-port", "0")
    with ServerProcess(*command, "--max-queue", "8", "--deadline", "10s") as server:
        server.wait_ready()
        ends: dict[str, int] = {}
        for generation, version in enumerate(("v1", "v2", "v3"), start=4):
            if version != "v1":  # which the first document has
                assert put(server, generation, target(bundles[version])).status == 200
            until(lambda name=version: server.state("points")["stable"] == name, version)  # type: ignore[misc]
            for end, count in asyncio.run(storm(server.grpc, 600)).items():
                ends[end] = ends.get(end, 0) + count
        assert {"OK", "NOT_FOUND", "CANCELLED", "DEADLINE_EXCEEDED"} <= ends.keys()
        assert ends.keys() <= {"OK", "NOT_FOUND", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
        versions = server.state("points")["versions"]
        assert sorted((one["version"], one["inFlight"]) for one in versions) == [("v1", 0), ("v2", 0), ("v3", 0)]
        # v2 stays for a rollback; nothing that its requests left behind may keep v1.
        until(lambda: state_of(server, "v1") == "Reclaimed", "v1 to go", 10)
        assert "Traceback" not in "".join(server.lines)


def test_refused_requests_leave_nothing_behind_that_keeps_their_version(
    document: Callable[..., Path], tmp_path: Path
) -> None:
    bundles = {name: points_bundle(tmp_path / name, version=name) for name in ("v1", "v2", "v3")}
    command = ("--document", document(bundles["v1"]), "--cache-dir", tmp_path / "cache", "--grpc-port", "0")
    with (
        ServerProcess(*command, "--deadline", "10s") as server,
        triton.InferenceServerClient(server.wait_ready().grpc) as client,
    ):
        wrong = triton.InferInput("points", [1, 4], "FP32")
        wrong.set_data_from_numpy(np.zeros((1, 4), np.float32))
        for _ in range(40):
            with pytest.raises(triton.InferenceServerException, match="does not fit"):
                client.infer("points", [wrong])
        for generation, version in enumerate(("v2", "v3"), start=5):
            assert put(server, generation, target(bundles[version])).status == 200
            until(lambda name=version: server.state("points")["stable"] == name, version)  # type: ignore[misc]
        # Nothing happens now that would make Python look for garbage.
        until(lambda: state_of(server, "v1") == "Reclaimed", "v1 to go", 5)
