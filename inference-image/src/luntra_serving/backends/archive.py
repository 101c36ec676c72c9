"""Tell a model file from a pickle in disguise by its first bytes and zip members, without opening either.

A pickle runs whatever code its author wrote as soon as it is read. `torch.save` writes one inside a zip, so a file
name proves nothing: a TorchScript archive has compiled code (`code/…`) and `constants.pkl`, which `torch.save` never
writes. Standard library only; the file is never deserialised here.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from luntra_serving.errors import PermanentLoadError, Reason

if TYPE_CHECKING:
    from pathlib import Path

_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
"""First byte of every pickle of protocol 2 or newer; no ONNX file and no zip begins with it."""
_ADVICE = "export the model with torch.jit.script(...).save(...) or to ONNX, and pack that"


def refuse_bare_pickle(path: Path) -> None:
    """Raise PermanentLoadError (UnsafeModel) if the file at `path` begins as a pickle does."""
    start = _start(path)
    if start[:1] == _PICKLE_MAGIC:
        raise _unsafe(path, f"is a bare pickle, which would run code when read (first bytes {start.hex(' ')})")


def refuse_disguised_pickle(path: Path) -> None:
    """Raise PermanentLoadError (UnsafeModel) unless the file at `path` is laid out as a TorchScript archive."""
    refuse_bare_pickle(path)
    start = _start(path)
    if start != _ZIP_MAGIC:
        raise _unsafe(path, f"is no TorchScript archive (first bytes {start.hex(' ')})")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise _unsafe(path, f"starts like a zip but is damaged: {error}") from error
    roots = {member.split("/", 1)[0] for member in members}
    inner = {member.split("/", 1)[1] for member in members if "/" in member}
    has_code = any(name.startswith("code/") and name.endswith(".py") for name in inner)
    if len(roots) != 1 or not has_code or "constants.pkl" not in inner:
        raise _unsafe(path, "is the zip of torch.save, a pickle, and not a TorchScript archive")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_ZIP_MAGIC))


def _unsafe(path: Path, problem: str) -> PermanentLoadError:
    return PermanentLoadError(Reason.UNSAFE_MODEL, f"{path.name!r} {problem}; it was not opened; {_ADVICE}")
