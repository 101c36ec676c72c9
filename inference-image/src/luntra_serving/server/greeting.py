"""What a person at a laptop reads once their model is served: an address and a command to try."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luntra_serving.bundle.manifest import Manifest, TensorSpec

_LONGEST = 128


def greeting(manifest: Manifest, address: str, management: str) -> str:
    """Return the lines for a server that answers at `address` (http://host:port), all of its inputs being zeros."""
    base = f"{address}/v2/models/{manifest.name}"
    inputs = [_example(spec) for spec in manifest.interface.inputs]
    if sum(len(entry["data"]) for entry in inputs) > _LONGEST:
        command = f"curl -s {base}"
    else:
        command = f"curl -s {base}/infer -d '{json.dumps({'inputs': inputs})}'"
    return (
        f"\n{manifest.name} {manifest.version} is ready at {base}\n\n  {command}\n\n"
        f"State: {management}/v1/models/{manifest.name}, metrics: {management}/metrics. Ctrl-C stops.\n"
    )


def _example(spec: TensorSpec) -> dict[str, list[object]]:
    shape = [1 if size == -1 else size for size in spec.shape]
    zero: object = {"BYTES": "text", "BOOL": False}.get(spec.datatype, 0)
    count = math.prod(shape)
    data = [zero] * count if count <= _LONGEST else [zero] * (_LONGEST + 1)
    example: dict[str, object] = {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": data}
    return example  # type: ignore[return-value]
