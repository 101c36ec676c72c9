"""What is said of answers: who may say it, what counts, and that it grows nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from luntra_serving.errors import RequestError
from luntra_serving.server.feedback import MOST, read_feedback
from luntra_serving.telemetry import feedback
from luntra_serving.telemetry.feedback import Feedback, Said
from tests.serving.processes import Reply, ServerProcess, ask, get, post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle

PATH = "/v2/models/points/feedback"
REVISION = "3f2a9c1d0b"
TOKEN = "a-token-of-the-users-own"


def answer(number: int, revision: str = REVISION) -> str:
    return f"{revision}.{number:016x}"


async def read(*entries: Any) -> list[Said]:
    return await read_feedback(json.dumps(entries[0] if len(entries) == 1 else entries).encode())


class TestReading:
    @pytest.mark.parametrize(
        ("said", "label", "reward"),
        [
            ({"correct": True}, True, 1.0),
            ({"correct": False}, False, 0.0),
            ({"reward": 0.25}, None, 0.25),
            ({"reward": 0}, None, 0.0),
            ({"reward": 1, "correct": None}, None, 1.0),
            ({"prediction": "cat", "truth": "cat"}, True, 1.0),
            ({"prediction": "cat", "truth": "dog"}, False, 0.0),
            ({"prediction": 7, "truth": 7.0}, True, 1.0),
            ({"prediction": 1, "truth": True}, False, 0.0),
            ({"prediction": "7", "truth": 7}, False, 0.0),
            ({"prediction": [1, "a", True], "truth": [1, "a", True]}, True, 1.0),
            ({"prediction": [1, "a", True], "truth": [1, "a", 1]}, False, 0.0),
            ({"prediction": [1], "truth": [1, 2]}, False, 0.0),
            ({"prediction": [1], "truth": 1}, False, 0.0),
        ],
    )
    async def test_every_form_comes_to_a_reward(self, said: dict[str, Any], label: bool | None, reward: float) -> None:
        assert await read({"id": answer(1), **said}) == [Said(answer(1), REVISION, reward, label)]

    async def test_list_is_read_in_its_order(self) -> None:
        entries = [{"id": answer(number), "reward": 0.5} for number in range(MOST)]
        assert [one.id for one in await read(*entries)] == [entry["id"] for entry in entries]
        assert await read_feedback(b"[]") == []

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ({"correct": True}, "id: Field required"),
            ({"id": 7, "correct": True}, "id: Input should be a valid string (got 7)"),
            ({"id": "7", "correct": True}, "id: it must be the x-luntra-request-id of an answer, such as"),
            ({"id": answer(1)}, "send exactly one of correct, reward, and prediction with truth"),
            ({"id": answer(1), "correct": True, "reward": 1}, "send exactly one of"),
            ({"id": answer(1), "correct": True, "prediction": 1, "truth": 1}, "send exactly one of"),
            ({"id": answer(1), "truth": 1}, "prediction and truth are compared; send both"),
            ({"id": answer(1), "correct": 1}, "correct: Input should be a valid boolean (got 1)"),
            ({"id": answer(1), "reward": 1.5}, "reward: Input should be less than or equal to 1 (got 1.5)"),
            ({"id": answer(1), "reward": -0.1}, "reward: Input should be greater than or equal to 0 (got -0.1)"),
            ({"id": answer(1), "reward": "1"}, "reward: Input should be a valid number (got '1')"),
            ({"id": answer(1), "prediction": {}, "truth": {}}, "prediction: it must be a text, a number,"),
            ({"id": answer(1), "prediction": [[1]], "truth": 1}, "prediction: it must be a text, a number,"),
            ({"id": answer(1), "prediction": 1, "truth": [1] * 101}, "truth: it must be a text, a number,"),
            ({"id": answer(1), "prediction": "x" * 1001, "truth": 1}, "is longer than 1000 characters (got 'xxx"),
            ({"id": answer(1), "right": True}, "right: Extra inputs are not permitted"),
            (7, "entry 51: Input should be a valid dictionary"),
        ],
    )
    async def test_what_is_wrong_is_named_with_its_place_value_and_fix(self, entry: Any, words: str) -> None:
        good = [{"id": answer(number), "correct": True} for number in range(51)]
        with pytest.raises(RequestError) as caught:
            await read(*good, entry)
        assert caught.value.status == 422
        assert caught.value.message.startswith("entry 51")
        assert words in caught.value.message
        assert len(caught.value.message) < 300
        assert caught.value.message.endswith("none of the entries was counted")

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "the body is not JSON"),
            (b'{"id": NaN}', "the body is not JSON"),
            (b"\xff", "the body is not JSON"),
            (b"[" * 100_000, "the body is not JSON"),
            (b"[" + b"7," * MOST + b"7]", "the body has 1001 entries; send at most 1000 at a time"),
        ],
    )
    async def test_body_that_is_none_is_refused(self, body: bytes, words: str) -> None:
        with pytest.raises(RequestError, match=words) as caught:
            await read_feedback(body)
        assert caught.value.status == 422


def said(number: int, revision: str = REVISION, label: bool | None = True) -> Said:
    return Said(answer(number, revision), revision, 0.5 if label is None else float(label), label)


class TestCounting:
    def test_right_and_wrong_are_rewards_too(self) -> None:
        told = Feedback()
        assert told.take([said(1), said(2, label=False), said(3, label=None), said(4, "other")]) == (4, 0)
        counts = {revision: counts.to_json() for revision, counts in told.items()}
        assert counts == {
            REVISION: {"count": 3, "labelled": 2, "correct": 1, "rewardSum": 1.5, "rewardSquares": 1.25},
            "other": {"count": 1, "labelled": 1, "correct": 1, "rewardSum": 1.0, "rewardSquares": 1.0},
        }

    def test_answer_counts_once_whoever_repeats_it(self) -> None:
        told = Feedback()
        assert told.take([said(1), said(2), said(1, label=False)]) == (2, 1)
        assert told.take([said(2, label=False), said(3), said(1, "other")]) == (2, 1)
        assert {revision: (counts.count, counts.correct) for revision, counts in told.items()} == {
            REVISION: (3, 3),
            "other": (1, 1),
        }

    def test_revisions_that_nobody_serves_do_not_pile_up(self) -> None:
        told = Feedback()
        for number in range(1000):
            told.take([said(number, f"r{number}"), said(number)])
        names = [revision for revision, _ in told.items()]
        assert len(names) == 64
        assert "r999" in names
        assert dict(told.items())[REVISION].count == 1000

    def test_ids_do_not_pile_up_and_the_last_ones_are_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feedback, "_REMEMBERED", 10)
        told = Feedback()
        for number in range(95):
            assert told.take([said(number)]) == (1, 0)
            assert len(told._fresh) + len(told._older) <= 20
            assert told.take([said(last) for last in range(max(0, number - 9), number + 1)]).counted == 0


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN + "\n")
    return file


@pytest.fixture
def server(points: Bundle, document: Callable[..., Path], tmp_path: Path, token_file: Path) -> Iterator[ServerProcess]:
    """A server that knows its version's revision and takes feedback."""
    arguments = ("--document", document(points), "--cache-dir", tmp_path, "--grpc-port", "0")
    with ServerProcess(*arguments, "--feedback-token-file", token_file) as running:
        yield running.wait_ready()


def send(server: ServerProcess, body: Any, token: str = TOKEN, path: str = PATH) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(server.management, path, "POST", content, {"Authorization": f"Bearer {token}"} if token else {})


def told(server: ServerProcess) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(get(server.management, "/v1/models/points/stats").body)["feedback"]
    return found


class TestServer:
    def test_answers_of_both_protocols_and_of_other_pods_are_counted_by_their_revision(
        self, server: ServerProcess
    ) -> None:
        tensor = {"name": "points", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 1.0, 2.0]}
        http = post(server.address, "/v2/models/points/infer", {"inputs": [tensor]}).headers["x-luntra-request-id"]
        request = service_pb2.ModelInferRequest(model_name="points")
        request.inputs.add(name="points", datatype="FP32", shape=[1, 3]).contents.fp32_contents.extend([0, 1, 2])
        with grpc.insecure_channel(server.grpc) as channel:
            response = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
        over_grpc = response.parameters["x-luntra-request-id"].string_param
        assert told(server) == {}
        assert json.loads(send(server, {"id": http, "correct": True}).body) == {"counted": 1, "repeated": 0}
        entries = [
            {"id": http, "correct": False},
            {"id": over_grpc, "prediction": 3, "truth": 4},
            {"id": answer(1, "anotherone"), "reward": 0.5},
        ]
        assert json.loads(send(server, entries).body) == {"counted": 2, "repeated": 1}
        assert told(server) == {
            REVISION: {"count": 2, "labelled": 2, "correct": 1, "rewardSum": 1.0, "rewardSquares": 1.0},
            "anotherone": {"count": 1, "labelled": 0, "correct": 0, "rewardSum": 0.5, "rewardSquares": 0.25},
        }
        for name, count in {"": 2, "_labelled": 2, "_correct": 1, "_reward": 1, "_reward_squares": 1}.items():
            sample = 'luntra_feedback%s_total{model="points",revision="%s"}'
            assert server.metric(sample % (name, REVISION)) == count
        assert server.metric(sample % ("_reward_squares", "anotherone")) == 0.25

    def test_one_bad_entry_keeps_all_from_being_counted(self, server: ServerProcess) -> None:
        good = {"id": answer(1), "correct": True}
        refused = send(server, [good, {"id": answer(2), "reward": 2}])
        assert refused.status == 422
        assert "entry 1.reward" in refused.error
        assert send(server, b"[" + b" " * (1 << 20) + b"]").status == 413
        assert told(server) == {}
        assert json.loads(send(server, good).body)["counted"] == 1, "what was refused is not remembered either"

    def test_nobody_else_may_say_anything(self, server: ServerProcess, token_file: Path) -> None:
        entry = {"id": answer(1), "correct": False}
        for token, words in (("", "there is no token"), (TOKEN + "x", "another one"), ("tökén", "another one")):
            refused = send(server, entry, token)
            assert refused.status == 403
            assert words in refused.error
        try:
            token_file.write_text("a newer one")
            assert send(server, entry).status == 403
            assert told(server) == {}
            assert send(server, entry, "a newer one").status == 200
        finally:
            token_file.write_text(TOKEN)

    def test_it_is_about_a_model_that_is_served_and_by_post_alone(self, server: ServerProcess) -> None:
        refused = send(server, {"id": answer(1), "correct": True}, path="/v2/models/lines/feedback")
        assert (refused.status, refused.error) == (404, "model 'lines' is not served here; this server has 'points'")
        assert get(server.management, PATH).status == 405

    def test_users_port_knows_nothing_of_it(self, server: ServerProcess) -> None:
        """Breaks if whoever may ask a model could make it look bad."""
        body, headers = json.dumps({"id": answer(1), "correct": False}).encode(), {"Authorization": f"Bearer {TOKEN}"}
        for path in (PATH, "/v2/models/points/versions/v1/feedback"):
            assert ask(server.address, path, "POST", body, headers).status == 404
        with grpc.insecure_channel(server.grpc) as channel:
            for method in ("ModelFeedback", "Feedback"):
                call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}", _registered_method=False)
                with pytest.raises(grpc.RpcError) as caught:
                    call(body, metadata=[("authorization", f"Bearer {TOKEN}")])
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert told(server) == {}

    def test_server_without_a_token_takes_none_and_says_which_flag_is_missing(
        self, points_server: ServerProcess
    ) -> None:
        for token in ("", TOKEN):
            refused = send(points_server, {"id": answer(1), "correct": True}, token)
            assert refused.status == 403
            assert "no token for feedback (--feedback-token-file)" in refused.error
