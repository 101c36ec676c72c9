"""The port between the server and the libraries that run models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.verify import Bundle


class LoadedModel(Protocol):
    """A model in memory.

    `infer` may be called from several threads at once; `close` is called once, after the last `infer` has returned.
    """

    platform: str
    """What the protocol's model metadata calls the platform, such as onnxruntime_onnx."""

    device: str
    """What it computes on, such as cpu."""

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the model's output tensors by name for its input tensors by name (BYTES: object arrays of bytes).

        Raises RequestError (400) if the library finds these inputs unfit, anything else if the model is broken.
        """
        ...

    def close(self) -> None:
        """Give back what the model holds."""
        ...


class Loader(Protocol):
    """A function that deserialises a verified bundle on `threads` cores.

    Raises PermanentLoadError (UnsafeModel, LoadFailed, InvalidBundle) if this bundle can never be loaded here.
    """

    def __call__(self, bundle: Bundle, *, threads: int) -> LoadedModel: ...
