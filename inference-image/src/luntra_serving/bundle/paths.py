"""Which file names a bundle may list: rules that hold on every system a bundle may travel through.

Pure text: nothing here touches a disk. Symbolic links are the business of packing, verifying and fetching.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MANIFEST = "model.yaml"
MAX_PATH = 512
_MAX_SEGMENT = 255


def check_path(path: str) -> str:
    """Return `path` if a bundle may list it; raise ValueError with the rule that it breaks otherwise."""
    problem = _problem(path)
    if problem:
        raise ValueError(
            f"path {path!r} {problem}; list files relative to the bundle folder, such as weights/model.onnx"
        )
    return path


def _problem(path: str) -> str | None:
    if not path:
        return "is empty"
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH:
        return f"is longer than {MAX_PATH} bytes"
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in path):
        return "holds a control character"
    if "\\" in path:
        return "holds a backslash"
    if path.startswith(("/", "~")) or path[1:2] == ":":
        return "is absolute"
    return _segment_problem(path.split("/"))


def _segment_problem(segments: list[str]) -> str | None:
    for segment in segments:
        if segment == "..":
            return "leaves the bundle folder with '..'"
        if segment in {"", "."}:
            return "has an empty or '.' segment"
        if len(segment.encode()) > _MAX_SEGMENT:
            return f"has a segment longer than {_MAX_SEGMENT} bytes"
    if len(segments) == 1 and _folded(segments[0]) == MANIFEST:
        return f"is the manifest itself: {MANIFEST} cannot list itself"
    return None


def check_distinct(paths: Iterable[str]) -> None:
    """Raise ValueError if two of `paths` would be one file, or a file and its own folder, on some file system."""
    seen: dict[str, str] = {}
    for path in paths:
        key = _folded(path)
        if key in seen:
            other = seen[key]
            how = "is listed twice" if other == path else f"differs from {other!r} only in letter case or Unicode form"
            raise ValueError(f"path {path!r} {how}; every file needs a name of its own")
        seen[key] = path
    for key, path in seen.items():
        parts = key.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folder in seen:
                raise ValueError(f"path {seen[folder]!r} is a file, but {path!r} needs it to be a folder; rename one")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
