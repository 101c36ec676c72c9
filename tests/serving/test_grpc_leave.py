"""How the gRPC port is overloaded, runs out of time, is left by its clients, and leaves."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from tests.serving.processes import ServerProcess, until
from tests.serving.spinning import ALONE, COUNTED, FOR_EVER, IN_FLIGHT, assert_released, rounds_for, spin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle


def outcome(server: ServerProcess, rounds: int, seconds: float | None = 60) -> str:
    """Ask on a connection of its own, with that deadline; return OK or the status and the words of the refusal."""
    with triton.InferenceServerClient(server.grpc) as client:
        try:
            client.infer("spinner", spin(rounds), client_timeout=seconds)
        except triton.InferenceServerException as error:
            return f"{error.status().removeprefix('StatusCode.')}: {error.message()}"
    return "OK"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def busy(server: ServerProcess, pool: ThreadPoolExecutor, rounds: int, requests: int) -> list[Future[str]]:
    """Send so many requests one after the other; return when all are in."""
    sent: list[Future[str]] = []
    for _ in range(requests):
        sent.append(pool.submit(outcome, server, rounds))
        until(lambda: server.metric(IN_FLIGHT) == len(sent), "the request to be admitted")
    return sent


class TestOverload:
    def test_one_request_more_than_the_queue_holds_is_refused_at_once_and_the_others_are_answered(
        self, spinner: Bundle, pool: ThreadPoolExecutor
    ) -> None:
        with ServerProcess(spinner.folder, "--max-queue", "1", *ALONE) as server:
            server.wait_ready()
            admitted = busy(server, pool, rounds_for(server, 1.0), 3)
            start = time.perf_counter()
            refused = outcome(server, 1)
            assert time.perf_counter() - start < 0.5
            assert refused.startswith("RESOURCE_EXHAUSTED: 1 requests of this version are waiting already")
            assert [request.result() for request in admitted] == ["OK"] * 3
            assert outcome(server, 1) == "OK"


class TestDeadlines:
    def test_default_deadline_is_for_requests_without_one(self, spinner: Bundle) -> None:
        with ServerProcess(spinner.folder, "--deadline", "50ms", *ALONE) as server:
            server.wait_ready()
            rounds = rounds_for(server, 1.0)
            late = outcome(server, rounds, seconds=None)
            assert late.startswith("DEADLINE_EXCEEDED: no answer within the deadline of 50ms")
            assert server.metric(COUNTED % 504) == 1
            assert outcome(server, rounds) == "OK"
            assert_released(server)

    def test_clients_deadline_ends_a_request_that_waits_and_it_never_starts(
        self, spinner: Bundle, pool: ThreadPoolExecutor
    ) -> None:
        with ServerProcess(spinner.folder, *ALONE) as server:
            server.wait_ready()
            running = busy(server, pool, rounds_for(server, 1.5), 2)
            assert outcome(server, FOR_EVER, seconds=0.2).startswith("DEADLINE_EXCEEDED")
            assert [request.result() for request in running] == ["OK", "OK"]
            assert_released(server)
            assert (server.metric(COUNTED % 504), server.metric(COUNTED % 499)) == (1, 0)
            assert outcome(server, 1) == "OK"


class TestCancellation:
    def test_cancelled_request_that_waits_never_starts(self, spinner: Bundle, pool: ThreadPoolExecutor) -> None:
        with (
            ServerProcess(spinner.folder, *ALONE) as server,
            triton.InferenceServerClient(server.wait_ready().grpc) as client,
        ):
            running = busy(server, pool, rounds_for(server, 1.5), 2)
            ended = threading.Event()
            waiting = client.async_infer("spinner", spin(FOR_EVER), lambda **_: ended.set())
            until(lambda: server.metric(IN_FLIGHT) == 3, "the request to be admitted")
            waiting.cancel()
            assert ended.wait(10)
            assert [request.result() for request in running] == ["OK", "OK"]
            assert_released(server)
            assert (server.metric(COUNTED % 499), server.metric(COUNTED % 200)) == (1, 4)
            # Both workers are free.
            assert [request.result() for request in busy(server, pool, rounds_for(server, 0.3), 2)] == ["OK", "OK"]

    async def test_cancelled_request_that_runs_gives_its_version_back_when_the_model_returns(
        self, spinner: Bundle
    ) -> None:
        with ServerProcess(spinner.folder, *ALONE) as server:
            server.wait_ready()
            rounds = rounds_for(server, 1.0)
            async with triton_aio.InferenceServerClient(server.grpc) as client:
                running = asyncio.create_task(client.infer("spinner", spin(rounds)))
                await asyncio.to_thread(until, lambda: server.metric(IN_FLIGHT) == 1, "the request to run")
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
            assert server.metric(IN_FLIGHT) == 1, "a model that computes cannot be stopped"
            assert_released(server)
            assert outcome(server, 1) == "OK"

    def test_client_that_is_gone_counts_as_one_that_cancelled(self, spinner: Bundle, pool: ThreadPoolExecutor) -> None:
        with ServerProcess(spinner.folder, *ALONE) as server:
            server.wait_ready()
            running = busy(server, pool, rounds_for(server, 1.5), 2)
            client = triton.InferenceServerClient(server.grpc)
            client.async_infer("spinner", spin(FOR_EVER), lambda **_: None)
            until(lambda: server.metric(IN_FLIGHT) == 3, "the request to be admitted")
            client.close()
            assert [request.result() for request in running] == ["OK", "OK"]
            assert_released(server)
            assert server.metric(COUNTED % 499) == 1


class TestLeaving:
    def test_h19_connection_is_renewed_within_the_termination_delay(self, spinner: Bundle) -> None:
        states: list[grpc.ChannelConnectivity] = []
        with (
            ServerProcess(spinner.folder, "--termination-delay", "1s", *ALONE) as server,
            grpc.insecure_channel(server.wait_ready().grpc) as channel,
        ):
            channel.subscribe(states.append, try_to_connect=True)
            until(lambda: grpc.ChannelConnectivity.READY in states, "the connection")
            start = time.monotonic()
            until(lambda: states[-1] is grpc.ChannelConnectivity.IDLE, "the client to be asked to connect anew")
            assert time.monotonic() - start < 1.0

    def test_h19_sigterm_turns_readiness_off_and_requests_are_answered_for_the_delay(self, spinner: Bundle) -> None:
        with (
            ServerProcess(spinner.folder, "--termination-delay", "1s", *ALONE) as server,
            triton.InferenceServerClient(server.wait_ready().grpc) as client,
        ):
            server.terminate()
            until(lambda: not client.is_server_ready(), "readiness to go off")
            assert not client.is_model_ready("spinner")
            assert client.is_server_live()
            assert outcome(server, 1) == "OK"
            assert server.wait(10) == 0

    def test_h19_what_is_in_flight_at_the_end_of_the_delay_is_finished(
        self, spinner: Bundle, pool: ThreadPoolExecutor
    ) -> None:
        limits = ("--termination-delay", "0", "--drain-limit", "60s")
        with ServerProcess(spinner.folder, *limits, *ALONE) as server:
            server.wait_ready()
            [running] = busy(server, pool, rounds_for(server, 12), 1)
            server.terminate()
            until(lambda: outcome(server, 1).startswith("UNAVAILABLE"), "the port to be refused")
            assert not running.done()
            assert running.result() == "OK"
            assert server.wait() == 0

    def test_h19_what_takes_longer_than_the_drain_limit_is_told_so(
        self, spinner: Bundle, pool: ThreadPoolExecutor
    ) -> None:
        limits = ("--termination-delay", "0", "--drain-limit", "500ms")
        with ServerProcess(spinner.folder, *limits, *ALONE) as server:
            [running] = busy(server.wait_ready(), pool, FOR_EVER, 1)
            server.terminate()
            assert server.wait(10) == 0
            assert running.result().startswith(("CANCELLED", "UNAVAILABLE"))

    def test_h19_under_load_no_request_is_lost_by_clients_that_heed_readiness(
        self, spinner: Bundle, document: Callable[..., Path], tmp_path: Path
    ) -> None:
        arguments = ("--document", document(spinner), "--cache-dir", tmp_path, "--termination-delay", "2s")
        outcomes: list[str] = []
        stop = threading.Event()

        def work(address: str) -> None:
            with triton.InferenceServerClient(address) as client:
                while not stop.is_set():
                    try:
                        client.infer("spinner", spin(1), client_timeout=30)
                        outcomes.append("OK")
                    except triton.InferenceServerException as error:
                        outcomes.append(str(error))

        with ServerProcess(*arguments, *ALONE) as server:
            address = server.wait_ready().grpc
            clients = [threading.Thread(target=work, args=(address,)) for _ in range(4)]
            for thread in clients:
                thread.start()
            until(lambda: len(outcomes) > 50, "some load")
            server.terminate()
            with triton.InferenceServerClient(address) as client:
                until(lambda: not client.is_server_ready(), "readiness to go off")
            seen = len(outcomes)
            until(lambda: len(outcomes) > seen + 20, "answers after readiness went off")
            stop.set()
            for thread in clients:
                thread.join()
            assert set(outcomes) == {"OK"}
            assert server.wait() == 0
