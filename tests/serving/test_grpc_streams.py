"""Streams of inferences over gRPC: in order, bounded, and gone without a trace."""

from __future__ import annotations

import asyncio
import queue
import random
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc

from luntra_serving.errors import RequestError
from luntra_serving.server.grpc import codec
from luntra_serving.server.grpc.streams import WINDOW, Streams
from tests.serving.bundles import POINTS, expected, points_bundle, target
from tests.serving.collector import Collector
from tests.serving.processes import ServerProcess, put, until
from tests.serving.spinning import ALONE, COUNTED, FOR_EVER, IN_FLIGHT, assert_released, rounds_for, spin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle

APART = (*ALONE, "--max-batch", "1")
"""A worker that is slow to wake would take what waits by then as one batch, whose requests begin and end together."""


def points(request: str = "", model: str = "points", **changes: Any) -> service_pb2.ModelInferRequest:
    """A request with two points, both of them its number if its id is one."""
    values = np.full(6, float(request), np.float32) if request.isdigit() else POINTS.reshape(-1)
    entry = {"name": "points", "datatype": "FP32", "shape": [2, 3], "contents": {"fp32_contents": values}}
    return service_pb2.ModelInferRequest(model_name=model, id=request, inputs=[{**entry, **changes}])


def spins(rounds: int, request: str = "") -> service_pb2.ModelInferRequest:
    entry = {"name": "rounds", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [rounds]}}
    return service_pb2.ModelInferRequest(model_name="spinner", id=request, inputs=[entry])


class Asking:
    """A stream by hand: what is written, and what is read, is the test's business."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self.call = service_pb2_grpc.GRPCInferenceServiceStub(self._channel).ModelStreamInfer()

    async def __aenter__(self) -> Asking:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        await self._channel.close()

    async def send(self, *requests: service_pb2.ModelInferRequest) -> None:
        for request in requests:
            await self.call.write(request)

    async def answers(self, count: int) -> list[service_pb2.ModelStreamInferResponse]:
        return [await self.call.read() for _ in range(count)]

    async def status(self) -> tuple[grpc.StatusCode, str]:
        """Read to the end, which has to be there; return how the stream has ended."""
        try:
            assert await self.call.read() is grpc.aio.EOF
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""
        return await self.call.code(), await self.call.details()


async def met(condition: Callable[[], Any], what: str) -> None:
    await asyncio.to_thread(until, condition, what)


@pytest.fixture
async def stream(points_server: ServerProcess) -> AsyncIterator[Asking]:
    async with Asking(points_server.grpc) as opened:
        yield opened


def test_tritons_client_gets_its_answers_in_order(points_server: ServerProcess) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(points_server.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(50):
            entry = triton.InferInput("points", [1, 3 if number != 20 else 2], "FP32")
            entry.set_data_from_numpy(np.full((1, 3 if number != 20 else 2), number, np.float32))
            client.async_stream_infer("points", [entry], request_id=f"r{number}", parameters={"a": 1})
        for number in range(50):
            result, error = answers.get(timeout=30)
            if number == 20:
                assert "shape [1, 2] does not fit" in error.message()
                continue
            assert error is None
            assert (result.get_response().id, result.get_response().model_version) == (f"r{number}", "v1")
            wanted = expected(np.full((1, 3), number, np.float32))
            np.testing.assert_allclose(result.as_numpy("probabilities"), wanted, rtol=1e-5)
        client.stop_stream()
    assert answers.empty()


class TestErrors:
    async def test_error_is_the_answer_to_its_request_and_the_stream_goes_on(self, stream: Asking) -> None:
        wrong = [points("a", "lines"), points("b", datatype="FP64"), service_pb2.ModelInferRequest(id="c")]
        named = points("d")
        named.model_version = "v9"
        await stream.send(*wrong, named, points("5"))
        await stream.call.done_writing()
        *failed, good = await stream.answers(5)
        assert [one.infer_response.id for one in failed] == ["a", "b", "c", "d"]
        words = [one.error_message for one in failed]
        assert words[0] == "model 'lines' is not served here; this server has 'points'"
        assert "datatype 'FP64'; it must be FP32" in words[1]
        assert "model '' is not served here" in words[2]
        assert words[3] == "version 'v9' of 'points' is not served here; 'v1' is"
        assert (good.error_message, good.infer_response.id) == ("", "5")
        [raw] = good.infer_response.raw_output_contents
        wanted = expected(np.full((2, 3), 5, np.float32))
        np.testing.assert_allclose(np.frombuffer(raw, "<f4").reshape(2, 2), wanted, rtol=1e-5)
        assert await stream.status() == (grpc.StatusCode.OK, "")

    async def test_bytes_that_are_no_message_are_an_error_like_others(self, points_server: ServerProcess) -> None:
        async with grpc.aio.insecure_channel(points_server.grpc) as channel:
            call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
            for content in (b"\xff\xff", points("5").SerializeToString()):
                await call.write(content)
            await call.done_writing()
            answers = [service_pb2.ModelStreamInferResponse.FromString(content) async for content in call]
        assert answers[0].error_message.startswith("the message is no ModelStreamInferRequest")
        assert answers[1].infer_response.id == "5"

    async def test_stream_without_a_request_just_ends(self, stream: Asking) -> None:
        await stream.call.done_writing()
        assert await stream.status() == (grpc.StatusCode.OK, "")

    async def test_deadline_is_that_of_each_request(self, spinner: Bundle) -> None:
        with ServerProcess(spinner.folder, "--deadline", "1s", *ALONE) as server:
            rounds = rounds_for(server.wait_ready(), 4)
            async with Asking(server.grpc) as stream:
                await stream.send(spins(rounds, "slow"), spins(1, "quick"))
                slow, quick = await stream.answers(2)
                assert slow.infer_response.id == "slow"
                assert slow.error_message.startswith("no answer within the deadline of 1s")
                assert (quick.infer_response.id, quick.error_message) == ("quick", "")
            assert_released(server)


class TestWindow:
    async def test_requests_run_side_by_side_and_are_answered_in_order(self, spinner: Bundle) -> None:
        with ServerProcess(spinner.folder, *APART) as server:
            rounds = rounds_for(server.wait_ready(), 1.0)
            done = server.metric(COUNTED % 200)
            async with Asking(server.grpc) as stream:
                await stream.send(spins(rounds, "slow"), spins(1, "quick"))
                await met(lambda: server.metric(COUNTED % 200) == done + 1, "the quick one to be done")
                assert server.metric(IN_FLIGHT) == 1, "the slow one"
                assert [one.infer_response.id for one in await stream.answers(2)] == ["slow", "quick"]

    async def test_no_more_is_read_than_may_be_unanswered(self, spinner: Bundle) -> None:
        with ServerProcess(spinner.folder, *ALONE) as server:
            server.wait_ready()
            async with Asking(server.grpc) as stream:
                await stream.send(*[spins(FOR_EVER) for _ in range(3 * WINDOW)])
                await met(lambda: server.metric(IN_FLIGHT) >= WINDOW, "the window to be full")
                assert {server.metric(IN_FLIGHT) for _ in range(30)} == {WINDOW}

    async def test_client_that_takes_no_answers_is_read_no_further(self, echo_server: ServerProcess) -> None:
        begun = 'luntra_inference_requests_total{code="200",model="echo",version="v7"}'
        before = echo_server.metric(begun)
        empty = [
            {"name": name, "datatype": kind, "shape": [0]} for name, kind in (("flags", "BOOL"), ("counts", "UINT64"))
        ]
        texts = {"name": "texts", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"x" * 2_000_000]}}
        request = service_pb2.ModelInferRequest(model_name="echo", inputs=[texts, *empty])
        sent = 4 * WINDOW
        async with Asking(echo_server.grpc) as stream:
            sending = asyncio.create_task(stream.send(*[request] * sent))
            await met(lambda: echo_server.metric(begun) >= before + WINDOW, "the window to be full")
            # What the client's library takes in before anybody reads an answer is its business: a few of them.
            assert max(echo_server.metric(begun) for _ in range(30)) < before + 2 * WINDOW
            assert len(await stream.answers(sent)) == sent
            await sending


class TestLeaving:
    async def test_cancelled_stream_abandons_all_of_its_requests(self, spinner: Bundle) -> None:
        with ServerProcess(spinner.folder, *APART) as server:
            rounds = rounds_for(server.wait_ready(), 1.5)
            done = server.metric(COUNTED % 200)
            async with Asking(server.grpc) as stream:
                # The workers take two; nobody may ever begin the others.
                await stream.send(spins(rounds), spins(rounds), *[spins(FOR_EVER) for _ in range(2 * WINDOW)])
                await met(lambda: server.metric(IN_FLIGHT) == WINDOW, "the window to be full")
                stream.call.cancel()
            assert_released(server)
            assert (server.metric(COUNTED % 499), server.metric(COUNTED % 200)) == (WINDOW - 2, done + 2)
            with triton.InferenceServerClient(server.grpc) as client:
                client.infer("spinner", spin(1), client_timeout=10)
            assert "Traceback" not in "".join(server.lines)

    async def test_server_that_leaves_answers_what_it_has_read_and_ends_the_streams(self, spinner: Bundle) -> None:
        with ServerProcess(spinner.folder, "--termination-delay", "0", "--drain-limit", "1m", *APART) as server:
            rounds = rounds_for(server.wait_ready(), 1.0)
            async with Asking(server.grpc) as busy, Asking(server.grpc) as idle:
                await idle.send(spins(1))
                assert len(await idle.answers(1)) == 1
                done = server.metric(COUNTED % 200)
                await busy.send(spins(rounds, "slow"), spins(1, "quick"))
                await met(lambda: server.metric(COUNTED % 200) == done + 1, "the quick one to be done")
                server.terminate()
                gone, words = await idle.status()
                assert gone is grpc.StatusCode.UNAVAILABLE
                assert words == "the server is leaving; what was sent and not answered goes to another one"
                assert [one.infer_response.id for one in await busy.answers(2)] == ["slow", "quick"]
                assert (await busy.status())[0] is grpc.StatusCode.UNAVAILABLE
                assert await asyncio.to_thread(server.wait, 20) == 0
            assert "Traceback" not in "".join(server.lines)

    async def test_stream_is_answered_during_the_delay_and_after_its_connection_was_renewed(
        self, spinner: Bundle
    ) -> None:
        with ServerProcess(spinner.folder, "--termination-delay", "2s", *ALONE) as server:
            server.wait_ready()
            async with Asking(server.grpc) as stream:
                await stream.send(spins(1))
                await stream.answers(1)
                idle = grpc.ChannelConnectivity.IDLE
                await met(lambda: stream._channel.get_state() is idle, "the client to be asked to connect anew")
                server.terminate()
                await met(lambda: not server.state("spinner")["ready"], "readiness to go off")
                await stream.send(spins(1, "late"))
                [answer] = await stream.answers(1)
                assert (answer.infer_response.id, answer.error_message) == ("late", "")
                assert (await stream.status())[0] is grpc.StatusCode.UNAVAILABLE
                assert await asyncio.to_thread(server.wait, 20) == 0


class FakeContext:
    """A call whose client asks one thing and waits."""

    def __init__(self) -> None:
        self.asked = [b"question"]
        self.written: list[bytes] = []
        self.code: Any = None

    async def read(self) -> bytes:
        if self.asked:
            return self.asked.pop()
        return await asyncio.Future()

    async def write(self, content: bytes) -> None:
        self.written.append(content)

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        pass


class TestEdges:
    async def test_stream_that_begins_when_the_server_has_left_is_told_so_and_read_no_further(self) -> None:
        streams = Streams(lambda content, _: ("", RequestError(400, content.decode())))
        streams.leave()
        context = FakeContext()
        await asyncio.wait_for(streams.serve(None, context), 10)
        assert context.code is grpc.StatusCode.UNAVAILABLE
        assert (context.asked, context.written) == ([b"question"], [])

    async def test_defect_of_ours_ends_the_stream_as_one(self) -> None:
        def begin(content: bytes, context: Any) -> Any:
            raise RuntimeError("a defect")

        with pytest.raises(RuntimeError, match="a defect"):
            await asyncio.wait_for(Streams(begin).serve(None, FakeContext()), 10)


class TestVersions:
    async def test_each_request_gets_the_version_of_its_time_and_an_open_stream_keeps_none(
        self, document: Callable[..., Path], tmp_path: Path
    ) -> None:
        bundles = {name: points_bundle(tmp_path / name, version=name) for name in ("v1", "v2", "v3")}
        command = ("--document", document(bundles["v1"]), "--cache-dir", tmp_path / "cache", "--grpc-port", "0")
        with ServerProcess(*command, "--deadline", "10s") as server:
            server.wait_ready()
            async with Asking(server.grpc) as stream:
                for generation, version in enumerate(("v1", "v2", "v3"), start=4):
                    if version != "v1":  # which the first document has
                        assert put(server, generation, target(bundles[version])).status == 200
                    await met(lambda name=version: server.state("points")["stable"] == name, version)  # type: ignore[misc]
                    await stream.send(*[points(str(number)) for number in range(20)])
                    answers = await stream.answers(20)
                    assert {one.infer_response.model_version for one in answers} == {version}
                await met(lambda: state_of(server, "v1") == "Reclaimed", "v1 to go")

    async def test_candidate_gets_its_share_of_a_streams_requests(
        self, document: Callable[..., Path], tmp_path: Path
    ) -> None:
        bundles = {name: points_bundle(tmp_path / name, version=name) for name in ("v1", "v2")}
        command = ("--document", document(bundles["v1"]), "--cache-dir", tmp_path / "cache", "--grpc-port", "0")
        with ServerProcess(*command, "--deadline", "10s") as server:
            stable = target(bundles["v1"], revision="3f2a9c1d0b")
            assert put(server.wait_ready(), 5, stable, candidate=target(bundles["v2"], weight=25)).status == 200
            await met(lambda: server.state("points")["weight"] == 25, "the candidate's weight")
            async with Asking(server.grpc) as stream:
                await stream.send(*[points() for _ in range(WINDOW)])
                versions = [one.infer_response.model_version for one in await stream.answers(WINDOW)]
            assert versions.count("v2") == WINDOW // 4


def state_of(server: ServerProcess, version: str) -> str:
    [state] = [one["state"] for one in server.state("points")["versions"] if one["version"] == version]
    return state


async def storm(address: str, streams: int) -> int:
    """Streams with good and bad requests that end in every way, many at once; how many answers there were."""
    chance = random.Random(7)

    async def one() -> int:
        seen = 0
        async with Asking(address) as stream:
            requests = [points(str(number), chance.choice(["points", "points", "lines"])) for number in range(40)]
            sending = asyncio.create_task(stream.send(*requests))
            for _ in range(chance.choice([0, 1, 5, 40])):
                assert (await stream.call.read()) is not grpc.aio.EOF
                seen += 1
            if chance.random() < 0.5:
                stream.call.cancel()
            await asyncio.wait([sending], timeout=chance.random() / 100)
            sending.cancel()
            await asyncio.wait([sending])
        return seen

    found = [await asyncio.gather(*[one() for _ in range(10)]) for _ in range(streams // 10)]
    return sum(sum(seen) for seen in found)


async def test_no_version_is_held_by_what_became_of_streams(document: Callable[..., Path], tmp_path: Path) -> None:
    bundles = {name: points_bundle(tmp_path / name, version=name) for name in ("v1", "v2", "v3")}
    command = ("--document", document(bundles["v1"]), "--cache-dir", tmp_path / "cache", "--grpc-port", "0")
    with ServerProcess(*command, "--deadline", "10s") as server:
        server.wait_ready()
        for generation, version in enumerate(("v1", "v2", "v3"), start=4):
            if version != "v1":
                assert put(server, generation, target(bundles[version])).status == 200
            await met(lambda name=version: server.state("points")["stable"] == name, version)  # type: ignore[misc]
            assert await storm(server.grpc, 40) > 100

        def held() -> list[int]:
            return [one["inFlight"] for one in server.state("points")["versions"]]

        await met(lambda: not any(held()), "the last request to be over")
        assert held() == [0, 0, 0]
        await met(lambda: state_of(server, "v1") == "Reclaimed", "v1 to go")
        assert "Traceback" not in "".join(server.lines)
        assert "never retrieved" not in "".join(server.lines)


async def test_each_request_of_a_stream_is_a_span(points: Bundle) -> None:
    parent = "b7ad6b7169203331"
    with Collector() as collector:
        arguments = (points.folder, "--grpc-port", "0", "--otlp", collector.address)
        with (
            ServerProcess(*arguments, environment={"OTEL_BSP_SCHEDULE_DELAY": "20"}) as server,
            grpc.insecure_channel(server.wait_ready().grpc) as channel,
        ):
            entry = {"name": "points", "datatype": "FP32", "shape": [2, 3]}
            good = service_pb2.ModelInferRequest(
                model_name="points", inputs=[{**entry, "contents": {"fp32_contents": POINTS.reshape(-1)}}]
            )
            bad = service_pb2.ModelInferRequest(model_name="points", inputs=[entry])
            metadata = (("traceparent", f"00-0af7651916cd43dd8448eb211c80319c-{parent}-01"),)
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert len(list(stub.ModelStreamInfer(iter([good, bad]), metadata=metadata))) == 2
            until(lambda: len(collector.received) == 2, "two spans")
        assert sorted(one.attributes["status_code"] for one in collector.received) == [200, 400]
        assert {one.span.parent_span_id.hex() for one in collector.received} == {parent}


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_response_is_put_into_a_streams_as_protobuf_would(size: int) -> None:
    response = (
        service_pb2.ModelInferResponse(raw_output_contents=[b"x" * size]) if size else service_pb2.ModelInferResponse()
    )
    wanted = service_pb2.ModelStreamInferResponse(infer_response=response)
    assert codec.streamed(response.SerializeToString()) == wanted.SerializeToString()


def test_error_of_a_stream_is_tritons() -> None:
    content = codec.stream_error("r1", RequestError(400, "no"))
    assert (
        content
        == service_pb2.ModelStreamInferResponse(
            error_message="no", infer_response=service_pb2.ModelInferResponse(id="r1")
        ).SerializeToString()
    )
