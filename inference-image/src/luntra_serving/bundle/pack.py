"""Turn a folder with a draft manifest into a bundle: list its files, write the canonical `model.yaml`, verify."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from pydantic import ValidationError

from luntra_serving.bundle.canonical import canonical_bytes, describe_problems, parse_draft
from luntra_serving.bundle.manifest import Draft, FileEntry, Manifest
from luntra_serving.bundle.paths import MANIFEST
from luntra_serving.bundle.samples import read_samples
from luntra_serving.bundle.verify import Bundle, listed_files, verify_folder
from luntra_serving.errors import PermanentLoadError, Reason

if TYPE_CHECKING:
    from pathlib import Path


def pack(folder: Path, draft: Draft | None = None) -> Bundle:
    """Write `folder/model.yaml` for the files in `folder` and return the verified bundle.

    Without `draft`, the one in `folder/model.yaml` is read (packing again is fine: its `files` are listed anew). Files
    and folders whose names start with a dot stay out. Raises PermanentLoadError (InvalidBundle).
    """
    if draft is None:
        draft = read_draft(folder / MANIFEST)
    files = [_entry(folder, name) for name in listed_files(folder)]
    content = {name: getattr(draft, name) for name in Draft.model_fields}
    try:
        manifest = Manifest(files=tuple(files), **content)
    except ValidationError as error:
        raise PermanentLoadError(Reason.INVALID_BUNDLE, "; ".join(describe_problems(error))) from error
    read_samples(folder / manifest.selfTest.samples, manifest.interface)
    unfinished = folder / f".{MANIFEST}.{os.getpid()}"
    unfinished.write_bytes(canonical_bytes(manifest))
    unfinished.replace(folder / MANIFEST)
    return verify_folder(folder)


def read_draft(path: Path) -> Draft:
    """Return the draft in the file `path`. Raises PermanentLoadError (InvalidBundle)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = (
            f"{path} cannot be read: {error.strerror}; write a draft manifest there first (docs/bundle.md has one)"
        )
        raise PermanentLoadError(Reason.INVALID_BUNDLE, problem) from error
    return parse_draft(content)


def _entry(folder: Path, name: str) -> FileEntry:
    path = folder / name
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        return FileEntry(path=name, size=path.stat().st_size, sha256=sha256)
    except ValidationError as error:
        raise PermanentLoadError(Reason.INVALID_BUNDLE, "; ".join(describe_problems(error))) from error
