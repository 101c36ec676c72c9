"""Find the backend that a bundle names, importing its vendor library no sooner than that."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, cast

from luntra_serving.errors import PermanentLoadError, Reason

if TYPE_CHECKING:
    from luntra_serving.backends.protocol import Loader

_BACKENDS = {
    "onnx": ("luntra_serving.backends.onnx", "onnxruntime", "onnx"),
    "torchscript": ("luntra_serving.backends.torchscript", "torch", "torch"),
}
"""Backend -> its module, the library that it needs, and the extra of luntra-serving that brings it."""


def loader_of(name: str) -> Loader:
    """Return what loads bundles of that backend; its library is in memory afterwards.

    Raises PermanentLoadError (UnsupportedBackend).
    """
    if name not in _BACKENDS:
        supported = ", ".join(sorted(_BACKENDS))
        raise PermanentLoadError(
            Reason.UNSUPPORTED_BACKEND, f"backend {name!r} is not known to this server; it has {supported}"
        )
    module, library, extra = _BACKENDS[name]
    if importlib.util.find_spec(library) is None:
        raise PermanentLoadError(
            Reason.UNSUPPORTED_BACKEND,
            f"backend {name!r} needs {library}, which is not installed here; "
            f"use the inference image built for it, or install luntra-serving[{extra}]",
        )
    return cast("Loader", importlib.import_module(module).load)
