"""Answer several requests with one run of the model: whole requests of one version are joined along the first axis.

Pure functions. A batch never mixes versions, because whoever calls has one model in hand. Only requests whose tensors agree in
everything but the first axis are joined; the others run by themselves. Where a joined run fails, each request is run alone, so
that one bad request spoils nobody else's answer.

What the model is asked is asked between two results, so that whoever takes these can tell how long each run took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.manifest import Interface

Tensors = dict[str, "Array"]
Infer = "Callable[[Mapping[str, Array]], Tensors]"


def joinable(interface: Interface) -> bool:
    """Whether the first axis of every input and output is of any size, as a batch's is."""
    return all(spec.shape and spec.shape[0] == -1 for spec in (*interface.inputs, *interface.outputs))


def infer_all(
    infer: Callable[[Mapping[str, Array]], Tensors], requests: Sequence[Tensors], max_rows: int
) -> Iterator[dict[int, Tensors | Exception]]:
    """Yield, run by run of the model, the outputs or the error of each request, by its index.

    At most `max_rows` rows run at once, unless one request has more.
    """
    for group in groups(requests, max_rows):
        joined = _infer_joined(infer, [requests[index] for index in group]) if len(group) > 1 else None
        if joined is not None:
            yield dict(zip(group, joined, strict=True))
            continue
        for index in group:
            yield {index: _infer_one(infer, requests[index])}


def groups(requests: Sequence[Tensors], max_rows: int) -> list[list[int]]:
    """Indices of the requests that may run as one, in order of arrival."""
    if len(requests) == 1:
        return [[0]]
    found: list[list[int]] = []
    open_groups: dict[tuple[object, ...], tuple[list[int] | None, int]] = {}
    for index, request in enumerate(requests):
        rows = {tensor.shape[0] if tensor.ndim else -1 for tensor in request.values()}
        kind = tuple([(name, tensor.dtype, tensor.shape[1:]) for name, tensor in sorted(request.items())])
        group, size = open_groups.get(kind, (None, 0))
        # Inputs of different lengths run alone, and so does an empty one: what a model answers to it is its own affair.
        count = next(iter(rows)) if len(rows) == 1 and 0 not in rows else max_rows
        if group is None or size + count > max_rows:
            group, size = [], 0
            found.append(group)
        group.append(index)
        open_groups[kind] = group, size + count
    return found


def _infer_joined(infer: Callable[[Mapping[str, Array]], Tensors], requests: Sequence[Tensors]) -> list[Tensors] | None:
    """The outputs of each request, None if the model does not take them together."""
    rows = [len(next(iter(request.values()))) for request in requests]
    try:
        joined = infer({name: np.concatenate([request[name] for request in requests]) for name in requests[0]})
    except Exception:  # noqa: BLE001 - whoever is at fault, each request alone will tell
        return None
    if any(len(tensor) != sum(rows) for tensor in joined.values()):
        return None
    ends = np.cumsum(rows)
    return [
        {name: tensor[end - count : end] for name, tensor in joined.items()}
        for end, count in zip(ends, rows, strict=True)
    ]


def _infer_one(infer: Callable[[Mapping[str, Array]], Tensors], request: Tensors) -> Tensors | Exception:
    try:
        return infer(request)
    except Exception as error:  # noqa: BLE001 - whatever a model's library raises, the one who asked is told
        return error
