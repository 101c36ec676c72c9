"""Requests to the model that is as slow as asked, over gRPC, and how to wait for what becomes of them."""

from __future__ import annotations

import time

import numpy as np
import tritonclient.grpc as triton

from tests.serving.processes import ServerProcess, until

IN_FLIGHT = 'luntra_inference_in_flight{model="spinner",version="v1"}'
COUNTED = 'luntra_inference_requests_total{code="%s",model="spinner",version="v1"}'
FOR_EVER = 2**40
"""Rounds: a request for them that starts keeps its worker longer than any test waits."""
ALONE = ("--threads", "1", "--grpc-port", "0")
"""Two workers."""


def spin(rounds: int) -> list[triton.InferInput]:
    """Return the input that asks for so many rounds."""
    entry = triton.InferInput("rounds", [1], "INT64")
    entry.set_data_from_numpy(np.array([rounds], np.int64))
    return [entry]


def rounds_for(server: ServerProcess, seconds: float) -> int:
    """Return how many rounds take about so many seconds on this machine, now."""
    with triton.InferenceServerClient(server.grpc) as client:
        client.infer("spinner", spin(1), client_timeout=60)  # connecting takes as long as some hundred rounds
        start = time.perf_counter()
        client.infer("spinner", spin(500), client_timeout=60)
    return max(1, int(500 * seconds / (time.perf_counter() - start)))


def assert_released(server: ServerProcess) -> None:
    """Nothing is in flight any more, and no handle is held: one that was released twice would show as -1."""
    until(lambda: server.metric(IN_FLIGHT) == 0, "the request to be over")
    assert [one["inFlight"] for one in server.state("spinner")["versions"]] == [0]
