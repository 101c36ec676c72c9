"""One number in a JSON document, by a JSONPath (RFC 9535) that cannot take long. Pure.

Documents and paths are other people's. A path may have one wildcard, slice or filter in all, no `..` and no functions (their regular
expressions), so what it costs grows with the document, which is bounded, and not with its square.
The library is imported when the first path is read: it takes 8 MiB, and not everybody has a web source.
"""

import contextlib
import json
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .errors import Misconfigured

if TYPE_CHECKING:
    from jsonpath import JSONPath


def find(document: bytes, path: str) -> float | None:
    """The number at `path`; None where nothing or null is there, or no finite number. Numbers may be written as strings.

    Raises:
        Misconfigured: the path is refused, it finds several things or something else, or the document is no JSON.
    """
    compiled = compiled_path(path)
    try:
        read = json.loads(document)
    except (ValueError, RecursionError):
        raise Misconfigured("the answer is no JSON: check the address") from None
    found = compiled.findall(read)
    if len(found) > 1:
        raise Misconfigured(f"jsonPath {path} finds {len(found)} values, and one is needed: make it narrower")
    return _number(path, found[0]) if found else None


def _number(path: str, found: Any) -> float | None:
    if found is None:
        return None
    value = None
    if isinstance(found, int | float | str) and not isinstance(found, bool):
        with contextlib.suppress(ValueError, OverflowError):
            value = float(found)
    if value is None:
        raise Misconfigured(f"jsonPath {path} finds something that is no number ({type(found).__name__})")
    return value if math.isfinite(value) else None


@lru_cache(maxsize=256)
def compiled_path(path: str) -> "JSONPath":
    """The path, ready for use.

    Raises:
        Misconfigured: it is none, or one that is refused.
    """
    from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError

    environment = JSONPathEnvironment(strict=True)
    environment.function_extensions.clear()
    try:
        compiled = environment.compile(path)
    except (JSONPathError, RecursionError) as error:
        raise Misconfigured(
            f"jsonPath {path} cannot be read: write it as RFC 9535 has it, without functions"
        ) from error
    if not isinstance(compiled, JSONPath) or sum(_choices(compiled)) > 1:
        raise Misconfigured(f"jsonPath {path} may have one wildcard, slice or filter, and no ..: make it simpler")
    return compiled


def _choices(path: "JSONPath") -> Iterator[int]:
    """1 for each part of a path, filters' own paths included, that can find several things; more for what is refused anyway."""
    from jsonpath.filter import BaseExpression, FilterQuery
    from jsonpath.segments import JSONPathChildSegment
    from jsonpath.selectors import Filter, IndexSelector, NameSelector

    def inside(expression: BaseExpression) -> Iterator[int]:
        if isinstance(expression, FilterQuery):
            yield from _choices(expression.path)
        for child in expression.children():
            yield from inside(child)

    for segment in path.segments:
        if not isinstance(segment, JSONPathChildSegment) or len(segment.selectors) != 1:
            yield 2
            continue
        (selector,) = segment.selectors
        if isinstance(selector, Filter):
            yield 1
            yield from inside(selector.expression)
        elif not isinstance(selector, NameSelector | IndexSelector):
            yield 1
