"""The document changes while the server answers: what it then serves, refuses, keeps and forgets."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.serving.bundles import points_bundle, spinner_bundle, target
from tests.serving.processes import Reply, ServerProcess, ask, get, post, put, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle

QUESTION = {"inputs": [{"name": "points", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 1.0, 2.0]}]}
INFER = "/v2/models/points/infer"


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """v1, v2 and v3 of the points model, and one whose self-test fails."""
    folder = tmp_path_factory.mktemp("versions")
    found = {version: points_bundle(folder / version, version=version) for version in ("v1", "v2", "v3")}
    wrong = np.full((2, 2), 0.5, dtype=np.float32)
    found["wrong"] = points_bundle(folder / "wrong", version="wrong", samples=wrong)
    nothing = [{"input": "points", "scale": 3e38, "offset": 3e38}]  # infinite inputs: 0 * inf, inf - inf
    found["nan"] = points_bundle(folder / "nan", version="nan", preprocessing=nothing)
    return found


@pytest.fixture
def server(bundles: dict[str, Bundle], document: Callable[..., Path], tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that follows generation 4: v1 is stable."""
    started = ServerProcess(
        "--document",
        document(bundles["v1"]),
        "--cache-dir",
        tmp_path / "cache",
        impatient=True,
        environment={"HOSTNAME": "pod-1"},
    )
    with started as server:
        yield server.wait_ready()


def serving(server: ServerProcess) -> str:
    return post(server.address, INFER, QUESTION).headers["x-model-version"]


def state_of(server: ServerProcess, version: str) -> dict[str, Any]:
    return next((one for one in server.state("points")["versions"] if one["version"] == version), {})


def _serves(server: ServerProcess, version: str) -> bool:
    return serving(server) == version


@contextmanager
def asking(server: ServerProcess) -> Iterator[list[Reply]]:
    """Requests all the time from two threads; the replies are complete when the context ends."""
    replies: list[Reply] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            replies.append(post(server.address, INFER, QUESTION))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        yield replies
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def test_model_is_replaced_and_taken_back_without_a_lost_request(
    server: ServerProcess, bundles: dict[str, Bundle]
) -> None:
    with asking(server) as replies:
        for generation, version in enumerate(("v2", "v3", "v2", "v3", "v1"), start=5):
            assert put(server, generation, target(bundles[version])).status == 200
            until(partial(_serves, server, version), version)
    assert {reply.status for reply in replies} == {200}
    assert {reply.headers["x-model-version"] for reply in replies} >= {"v2", "v3"}
    state = server.state("points")
    assert (state["observedGeneration"], state["stable"], state["epoch"]) == (9, "v1", 6)
    until(lambda: state_of(server, "v2")["state"] == "Reclaimed", "the version before the last one to go")
    assert state_of(server, "v3")["state"] == "Ready", "the version before stays for a rollback"
    events = json.loads(get(server.management, "/v1/events").body)["events"]
    assert [one["version"] for one in events if one["event"] == "Promoted"] == ["v1", "v2", "v3", "v2", "v3", "v1"]
    assert server.metric('luntra_model_transitions_total{model="points",transition="Promoted"}') == 6


def test_candidate_gets_its_weight_and_goes_when_the_document_says_so(
    server: ServerProcess, bundles: dict[str, Bundle]
) -> None:
    candidate = target(bundles["v2"], weight=25)
    assert put(server, 5, target(bundles["v1"], revision="3f2a9c1d0b"), candidate=candidate).status == 200
    until(lambda: server.state("points")["weight"] == 25, "the candidate's weight")
    answers = [serving(server) for _ in range(40)]
    assert answers.count("v2") == 10
    assert get(server.address, "/v2/models/points/versions/v2").headers["x-model-version"] == "v2"
    assert put(server, 6, target(bundles["v1"], revision="3f2a9c1d0b")).status == 200
    until(lambda: state_of(server, "v2")["state"] == "Reclaimed", "the candidate to go")
    assert {serving(server) for _ in range(20)} == {"v1"}
    assert get(server.address, "/v2/models/points/versions/v2").status == 404


def test_h17_session_stays_with_its_version_in_every_pod_and_moves_one_way(
    server: ServerProcess, bundles: dict[str, Bundle], document: Callable[..., Path], tmp_path: Path
) -> None:
    stable, sessions = target(bundles["v1"], revision="3f2a9c1d0b"), [f"episode-{number}" for number in range(40)]

    def assigned(to: ServerProcess) -> dict[str, str]:
        replies = {one: post(to.address, INFER, QUESTION, {"X-Session-Id": one}) for one in sessions}
        return {one: reply.headers["x-model-version"] for one, reply in replies.items()}

    def split(to: ServerProcess, generation: int, weight: int) -> dict[str, str]:
        candidate = target(bundles["v2"], weight=weight)
        assert put(to, generation, stable, candidate=candidate, session={"header": "X-Session-Id"}).status == 200
        until(lambda: to.state("points")["weight"] == weight, "the weight")
        return assigned(to)

    third, half = split(server, 5, 30), split(server, 6, 60)
    assert {one for one, version in third.items() if version == "v2"} < {
        one for one, version in half.items() if version == "v2"
    }
    assert assigned(server) == half
    other = ServerProcess("--document", document(bundles["v1"]), "--cache-dir", tmp_path / "other")
    with other as pod:
        assert split(pod.wait_ready(), 5, 60) == half


def test_h17_episode_stays_with_its_version_until_it_says_that_it_ends(
    server: ServerProcess, bundles: dict[str, Bundle]
) -> None:
    def asked(session: str, **headers: str) -> str:
        named = {"X-Session-Id": session, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return post(server.address, INFER, QUESTION, named).headers["x-model-version"]

    rule = {"header": "X-Session-Id", "ttl": "30m"}
    put(server, 5, target(bundles["v1"], revision="3f2a9c1d0b"), session=rule)
    assert asked("a") == "v1"
    for generation, version in enumerate(("v2", "v3"), start=6):
        put(server, generation, target(bundles[version]), session=rule)
        until(partial(_serves, server, version), version)
    assert (asked("a"), asked("b"), server.state("points")["sessions"]) == ("v1", "v3", 2)
    assert state_of(server, "v1")["state"] == "Retired"
    refused = post(server.address, INFER, QUESTION, {"X-Session-Id": "a", "x-session-end": "soon"})
    assert (refused.status, refused.error) == (400, "header x-session-end is 'soon'; it must be true or false")
    assert asked("a", x_session_end="true") == "v1", "the last request is a part of the episode"
    until(lambda: state_of(server, "v1")["state"] == "Reclaimed", "the version that nobody needs any more")
    assert asked("a") == "v3"


def test_silent_session_ends_by_itself(server: ServerProcess, bundles: dict[str, Bundle]) -> None:
    put(server, 5, target(bundles["v1"], revision="3f2a9c1d0b"), session={"header": "x-session", "ttl": "2s"})
    post(server.address, INFER, QUESTION, {"x-session": "a"})
    assert server.state("points")["sessions"] == 1
    until(lambda: server.state("points")["sessions"] == 0, "the session to end")


def test_shadow_requests_are_computed_by_the_candidate_and_answered_by_stable(
    server: ServerProcess, bundles: dict[str, Bundle]
) -> None:
    candidate = target(bundles["v2"], weight=0, shadow=50)
    put(server, 5, target(bundles["v1"], revision="3f2a9c1d0b"), candidate=candidate)
    until(lambda: server.state("points")["shadow"] == 50, "the candidate")
    assert {serving(server) for _ in range(20)} == {"v1"}
    counted = 'luntra_shadow_requests_total{code="200",model="points",version="v2"}'
    dropped = 'luntra_shadow_dropped_total{model="points",version="v2"}'
    until(lambda: server.metric(counted) + server.metric(dropped) == 10, "the copies")
    statistics = json.loads(get(server.management, "/v1/models/points/stats").body)
    [copies] = statistics["shadow"]
    assert (copies["version"], copies["requests"]) == ("v2", server.metric(counted))
    assert copies["requests"] > 0
    assert {one["version"]: one["requests"] for one in statistics["versions"]} == {"v1": 20, "v2": 0}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"session": {"header": "x-session", "ttl": "soon"}}, "session.ttl: 'soon' is not a duration"),
        ({"session": {"header": "x-session", "ttl": "25h"}}, "must be above 0 and at most 24h"),
        ({"candidate": {"weight": 0, "shadow": 101}}, "candidate.shadow"),
        ({"candidate": {"weight": 0, "revision": "a\r\nb"}}, "candidate.revision"),
    ],
)
def test_unfit_fields_are_named(
    server: ServerProcess, bundles: dict[str, Bundle], more: dict[str, Any], words: str
) -> None:
    if "candidate" in more:
        more = {"candidate": target(bundles["v2"], **more["candidate"])}
    reply = put(server, 5, target(bundles["v1"]), **more)
    assert reply.status == 422
    assert words in reply.error


@pytest.mark.parametrize(("pods", "state"), [(["pod-1", "pod-2"], "Ready"), (["pod-2"], None)])
def test_only_pods_that_are_named_serve_the_candidate(
    server: ServerProcess, bundles: dict[str, Bundle], pods: list[str], state: str | None
) -> None:
    candidate = target(bundles["v2"], weight=100, pods=pods)
    put(server, 5, target(bundles["v1"], revision="3f2a9c1d0b"), candidate=candidate)
    if state is None:
        assert state_of(server, "v2") == {}
    else:
        until(lambda: state_of(server, "v2").get("state") == state, state)
    until(lambda: serving(server) == ("v2" if state else "v1"), "the right version")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"digest": "sha256:" + "0" * 64}, "DigestMismatch"),
        ({"uri": "file:///nowhere/points"}, "SourceUnavailable"),
        ({"uri": "s3://bucket/points"}, "UnsupportedScheme"),
    ],
)
def test_version_that_cannot_be_loaded_leaves_the_old_one_serving(
    server: ServerProcess, bundles: dict[str, Bundle], change: dict[str, str], reason: str
) -> None:
    put(server, 5, target(bundles["v2"]) | change)
    until(lambda: state_of(server, "v2").get("state") == "Failed", "the failure")
    assert state_of(server, "v2")["reason"] == reason
    assert serving(server) == "v1"
    put(server, 6, target(bundles["v2"]))
    until(lambda: serving(server) == "v2", "a corrected document")


@contextmanager
def silence() -> Iterator[str]:
    """The address of a store that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}/points"


def test_h5_storage_that_hangs_during_a_load_holds_up_no_request(
    server: ServerProcess, bundles: dict[str, Bundle]
) -> None:
    with silence() as address:
        put(server, 5, target(bundles["v2"], uri=address))
        until(lambda: state_of(server, "v2").get("stage") == "fetch", "the load to begin")
        with asking(server) as replies:
            until(lambda: len(replies) > 200, "requests while the storage hangs")
        assert {reply.status for reply in replies} == {200}
        assert state_of(server, "v2")["state"] == "Loading"
        put(server, 6, target(bundles["v3"]))
        until(lambda: serving(server) == "v3", "a version from elsewhere, which does not wait for the one that hangs")
    until(lambda: state_of(server, "v2")["state"] == "Superseded", "the load to end when its storage lets go of it")
    events = json.loads(get(server.management, "/v1/events").body)["events"]
    assert "v2" not in [one["version"] for one in events if one["event"] == "Promoted"]


def test_document_that_changes_before_the_first_version_is_ready_is_followed(
    bundles: dict[str, Bundle], document: Callable[..., Path], tmp_path: Path
) -> None:
    with silence() as address:
        command = ("--document", document(bundles["v1"], uri=address), "--cache-dir", tmp_path / "cache")
        with ServerProcess(*command, "--termination-delay", "0s", impatient=True) as server:
            until(lambda: state_of(server, "v1").get("stage") == "fetch", "the first load to begin")
            assert put(server, 5, target(bundles["v2"])).status == 200
            assert serving(server.wait_ready()) == "v2"
            server.terminate()
            assert server.wait() == 0


def test_document_that_changes_to_a_version_that_cannot_be_loaded_ends_a_process_that_never_answered(
    bundles: dict[str, Bundle], document: Callable[..., Path], tmp_path: Path
) -> None:
    with silence() as address:
        path = document(bundles["v1"], uri=address)
        with ServerProcess("--document", path, "--cache-dir", tmp_path / "cache", impatient=True) as server:
            until(lambda: state_of(server, "v1").get("stage") == "fetch", "the first load to begin")
            put(server, 5, target(bundles["v2"]) | {"digest": "sha256:" + "0" * 64})
            assert server.wait() == 3


def test_h7_model_that_answers_nan_is_never_promoted(server: ServerProcess, bundles: dict[str, Bundle]) -> None:
    put(server, 5, target(bundles["nan"]))
    until(lambda: state_of(server, "nan").get("state") == "Failed", "the failure")
    assert state_of(server, "nan")["reason"] == "SelfTestFailed"
    assert "is nan, expected 0." in state_of(server, "nan")["message"]
    assert serving(server) == "v1"


def test_h7_warm_up_that_hangs_is_given_up(spinner: Bundle, document: Callable[..., Path], tmp_path: Path) -> None:
    hanging = spinner_bundle(tmp_path / "hanging", version="v2", sample=2**40)
    command = ("--document", document(spinner), "--cache-dir", tmp_path / "cache", "--self-test-limit", "2s")
    with ServerProcess(*command) as server:
        server.wait_ready()
        wanted = {"generation": 5, "model": "spinner", "stable": target(hanging)}
        assert ask(server.management, "/v1/models/spinner", "PUT", json.dumps(wanted).encode()).status == 200
        until(lambda: server.state("spinner")["versions"][-1]["state"] == "Failed", "the limit")
        version = server.state("spinner")["versions"][-1]
        assert (version["version"], version["reason"]) == ("v2", "TimedOut")
        assert version["message"].startswith("warm-up still runs after its limit of 2 s")
        question = {"inputs": [{"name": "rounds", "datatype": "INT64", "shape": [1], "data": [2]}]}
        answer = post(server.address, "/v2/models/spinner/infer", question, {"x-request-deadline": "30s"})
        assert (answer.status, answer.headers["x-model-version"]) == (200, "v1")


def test_h8_failed_self_test_is_told_with_value_and_bound(server: ServerProcess, bundles: dict[str, Bundle]) -> None:
    put(server, 5, target(bundles["wrong"]))
    until(lambda: state_of(server, "wrong").get("state") == "Failed", "the failure")
    [event] = [
        one for one in json.loads(get(server.management, "/v1/events").body)["events"] if one["event"] == "Failed"
    ]
    assert event["reason"] == "SelfTestFailed"
    assert "is 0.0103282, expected 0.5 within 0.00051" in event["message"]
    assert serving(server) == "v1"


def test_generations_only_grow(server: ServerProcess, bundles: dict[str, Bundle]) -> None:
    assert put(server, 6, target(bundles["v2"])).status == 200
    assert put(server, 6, target(bundles["v2"])).status == 200, "the same again changes nothing"
    older = put(server, 5, target(bundles["v3"]))
    assert older.status == 409
    assert "generation 5 is older than" in older.error
    assert json.loads(older.body)["observedGeneration"] == 6
    other = put(server, 6, target(bundles["v3"]))
    assert other.status == 409
    assert "generation 6 differs from" in other.error


def test_restarted_server_goes_on_with_the_last_document(
    bundles: dict[str, Bundle], document: Callable[..., Path], tmp_path: Path
) -> None:
    command = ("--document", document(bundles["v1"]), "--cache-dir", tmp_path / "cache")
    with ServerProcess(*command) as server:
        put(server.wait_ready(), 5, target(bundles["v2"]))
        until(partial(_serves, server, "v2"), "v2")
    with ServerProcess(*command) as server:
        assert serving(server.wait_ready()) == "v2"
        assert server.state("points")["observedGeneration"] == 5
    (tmp_path / "cache" / "documents" / "points.json").write_text("torn")
    with ServerProcess(*command) as server:
        assert serving(server.wait_ready()) == "v1"
        assert any("of no use" in entry["message"] for entry in server.logs)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 422, "JSON"),
        (b'{"generation": 5, "model": "points"}', 422, "stable"),
        (
            b'{"generation": -1, "model": "points", "stable": {"version": "v", "uri": "x", "digest": "y"}}',
            422,
            "generation",
        ),
        (b"x" * (1 << 20) + b"x", 413, "larger than"),
    ],
)
def test_wrong_document_is_refused_with_the_field(server: ServerProcess, body: bytes, status: int, words: str) -> None:
    reply = ask(server.management, "/v1/models/points", "PUT", body)
    assert reply.status == status
    assert words in reply.error
    assert server.state("points")["observedGeneration"] == 4


def test_document_of_another_model_is_refused(server: ServerProcess, bundles: dict[str, Bundle]) -> None:
    document = {"generation": 5, "model": "lines", "stable": target(bundles["v2"])}
    reply = ask(server.management, "/v1/models/points", "PUT", json.dumps(document).encode())
    assert reply.status == 422
    assert "model is 'lines', but the path names 'points'; they must be the same" in reply.error
