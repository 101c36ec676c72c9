"""The port `ModelServer` over `tritonclient`, the only module that imports it.

Checks go through the client that users have, so that what a check saw is what a user gets. Nothing is retried here.
"""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from tritonclient.http.aio import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from luntra_operator.checks.errors import Refused, ServerError, Unavailable
from luntra_operator.checks.interface import DATATYPES, Array, ModelInterface, ModelServer, TensorSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_UNREADABLE = (ValueError, KeyError, TypeError, IndexError, struct.error)
"""What tritonclient lets through when an answer is not of the protocol."""


@asynccontextmanager
async def connect(base_url: str, model: str, *, request_timeout: float, connections: int) -> AsyncIterator[ModelServer]:
    """Open connections to `base_url` (`http://HOST:PORT`) for the model; each request may take `request_timeout` s."""
    scheme, _, address = base_url.rstrip("/").partition("://")
    async with InferenceServerClient(
        address, conn_limit=connections, conn_timeout=request_timeout, ssl=scheme == "https"
    ) as client:
        yield _Model(client, model, request_timeout)


class _Model:
    def __init__(self, client: Any, model: str, request_timeout: float) -> None:
        self._client = client
        self._model = model
        self._request_timeout = request_timeout

    async def interface(self) -> ModelInterface:
        try:
            metadata = await self._client.get_model_metadata(self._model)
            return ModelInterface(_tensors(metadata["inputs"]), _tensors(metadata["outputs"]))
        except (InferenceServerException, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._meaning(error) from error
        except _UNREADABLE as error:
            raise Refused(f"answered with unreadable metadata of model {self._model}: {error}") from error

    async def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            result = await self._client.infer(self._model, [_tensor(name, array) for name, array in inputs.items()])
            return {output["name"]: result.as_numpy(output["name"]) for output in result.get_response()["outputs"]}
        except (InferenceServerException, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._meaning(error) from error
        except _UNREADABLE as error:
            raise Refused(f"answered unreadably to an inference request: {error!r}") from error

    def _meaning(self, error: Exception) -> ServerError:
        if isinstance(error, InferenceServerException):
            text = f"answered {error.status() or 'an error'}: {error.message()}"
            return Unavailable(text) if error.status() == "503" else Refused(text)
        if isinstance(error, TimeoutError):
            return Refused(f"gave no answer within {self._request_timeout:g} s")
        return Unavailable(f"cannot be reached: {error}")


def _tensors(described: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(str(one["name"]), str(one["datatype"]), tuple(int(length) for length in one["shape"]))
        for one in described
    )


def _tensor(name: str, array: Array) -> InferInput:
    datatype = next(datatype for datatype, dtype in DATATYPES.items() if dtype == array.dtype)
    tensor = InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=True)
    return tensor
