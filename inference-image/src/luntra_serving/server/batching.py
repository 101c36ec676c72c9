"""Answer several requests with one run of the model: whole requests of one version are joined along the first axis.

Pure functions. A batch never mixes versions, because whoever calls has one model in hand. Only requests whose tensors agree in
everything but the first axis are joined; the others run by themselves. Where a joined run fails, each request is run alone, so
that one bad request spoils nobody else's answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.manifest import Interface

Tensors = dict[str, "Array"]
Infer = "Callable[[Mapping[str, Array]], Tensors]"


def joinable(interface: Interface) -> bool:
    """Whether the first axis of every input and output is of any size, as a batch's is."""
    return all(spec.shape and spec.shape[0] == -1 for spec in (*interface.inputs, *interface.outputs))


def infer_all(
    infer: Callable[[Mapping[str, Array]], Tensors], requests: Sequence[Tensors], max_rows: int
) -> list[Tensors | Exception]:
    """Outputs, or the error, of each request, in order; at most `max_rows` rows run at once, unless one request has more."""
    results: list[Tensors | Exception | None] = [None] * len(requests)
    for group in groups(requests, max_rows):
        for index, outcome in zip(group, _infer_joined(infer, [requests[index] for index in group]), strict=True):
            results[index] = outcome
    return [result for result in results if result is not None]


def groups(requests: Sequence[Tensors], max_rows: int) -> list[list[int]]:
    """Indices of the requests that may run as one, in order of arrival."""
    found: list[list[int]] = []
    open_groups: dict[tuple[object, ...], tuple[list[int] | None, int]] = {}
    for index, request in enumerate(requests):
        rows = {len(tensor) if tensor.ndim else -1 for tensor in request.values()}
        kind = tuple((name, tensor.dtype, tensor.shape[1:]) for name, tensor in sorted(request.items()))
        group, size = open_groups.get(kind, (None, 0))
        # Inputs of different lengths run alone, and so does an empty one: what a model answers to it is its own affair.
        count = next(iter(rows)) if len(rows) == 1 and 0 not in rows else max_rows
        if group is None or size + count > max_rows:
            group, size = [], 0
            found.append(group)
        group.append(index)
        open_groups[kind] = group, size + count
    return found


def _infer_joined(
    infer: Callable[[Mapping[str, Array]], Tensors], requests: Sequence[Tensors]
) -> list[Tensors | Exception]:
    if len(requests) == 1:
        return [_infer_one(infer, requests[0])]
    rows = [len(next(iter(request.values()))) for request in requests]
    try:
        joined = infer({name: np.concatenate([request[name] for request in requests]) for name in requests[0]})
    except Exception:  # noqa: BLE001 - whoever is at fault, each request alone will tell
        return [_infer_one(infer, request) for request in requests]
    if any(len(tensor) != sum(rows) for tensor in joined.values()):
        return [_infer_one(infer, request) for request in requests]
    ends = np.cumsum(rows)
    return [
        {name: tensor[end - count : end] for name, tensor in joined.items()}
        for end, count in zip(ends, rows, strict=True)
    ]


def _infer_one(infer: Callable[[Mapping[str, Array]], Tensors], request: Tensors) -> Tensors | Exception:
    try:
        return infer(request)
    except Exception as error:  # noqa: BLE001 - it goes to the one who asked
        return error
