"""A client that keeps asking over gRPC, as a user of `tritonclient` would, and counts answers by version.

Nothing is retried: whatever is not a prediction of a named version is an error.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from e2e.demo.records import Answer
from luntra_operator.checks.dataset import load

_TIMEOUT = 10.0


class GrpcLoad:
    """Answers so far, by the time at which they were asked for."""

    def __init__(self, client: InferenceServerClient, model: str, rows: Path) -> None:
        """Ask `model`, which has one input, for the rows of a labelled set (.npz), one at a time."""
        self._client, self._model = client, model
        self._labelled = load(rows.read_bytes())
        self.answers: list[Answer] = []

    @property
    def errors(self) -> list[str]:
        """Texts of all client errors."""
        return [answer.error for answer in self.answers if answer.error]

    def versions(self, since: float = 0.0) -> Counter[str]:
        """Answers by version, of requests sent after a time."""
        return Counter(answer.version for answer in self.answers if answer.at > since and not answer.error)

    async def version_for(self, headers: dict[str, str]) -> str:
        """The version that answers a request with these headers."""
        metadata = await self._client.get_model_metadata(self._model, headers=headers)
        (version,) = metadata.versions
        return str(version)

    async def run(self, rate: float) -> None:
        """Ask `rate` times a second until cancelled; what is in flight then is still waited for."""
        metadata = await self._client.get_model_metadata(self._model)
        name, (rows,) = metadata.inputs[0].name, self._labelled.rows.values()
        clock = asyncio.get_running_loop().time
        begin, flying = clock(), set[asyncio.Task[None]]()
        try:
            for number in itertools.count():
                await asyncio.sleep(max(0.0, begin + number / rate - clock()))
                index = number % len(rows)
                row = InferInput(name, [1, *rows.shape[1:]], "FP32")
                row.set_data_from_numpy(rows[index : index + 1].astype(np.float32))
                task = asyncio.create_task(self._ask(row, int(self._labelled.labels[index])))
                flying.add(task)
                task.add_done_callback(flying.discard)
        finally:
            await asyncio.gather(*flying)

    async def _ask(self, row: InferInput, label: int) -> None:
        at, begin = time.time(), time.perf_counter()
        version, predicted, error = "", None, ""
        try:
            result = await self._client.infer(self._model, [row], client_timeout=_TIMEOUT)
            answer = result.get_response()
            version, predicted = answer.model_version, int(result.as_numpy(answer.outputs[0].name).argmax())
            error = "" if version else "no version is named"
        except InferenceServerException as fault:
            error = str(fault)
        status = 0 if error else 200
        self.answers.append(Answer(at, time.perf_counter() - begin, status, version, label, predicted, error))


@asynccontextmanager
async def asking(address: str, host: str, model: str, rows: Path, rate: float = 20.0) -> AsyncIterator[GrpcLoad]:
    """Keep asking the model of a host behind a gateway for as long as the context lasts."""
    async with InferenceServerClient(address, channel_args=[("grpc.default_authority", host)]) as client:
        load = GrpcLoad(client, model, rows)
        task = asyncio.create_task(load.run(rate))
        try:
            yield load
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
