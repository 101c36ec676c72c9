"""As much of PromQL's words as it takes to know which metrics and labels an expression asks for. promtool knows the rest."""

import re
from collections.abc import Iterator

_WORDS = {"and", "or", "unless", "on", "by", "offset", "bool", "ignoring", "without", "group_left", "group_right"}
_LISTS = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?(?!\s*\(|[\w:(])")
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')


def selectors(expression: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Each metric that is asked for, with the labels by which it is chosen."""
    bare = re.sub(r"\[[^]]*\]|\boffset\s+\w+", "", _LISTS.sub("", _TEXT.sub('""', expression)))
    for name, matchers in _SELECTOR.findall(bare):
        if name not in _WORDS:
            yield name, frozenset(re.findall(r"(\w+)\s*[=!]", matchers))


def grouped(expression: str) -> frozenset[str]:
    """The labels that are named for grouping and matching."""
    return frozenset(label.strip() for names in _LISTS.findall(expression) for label in names.split(","))
