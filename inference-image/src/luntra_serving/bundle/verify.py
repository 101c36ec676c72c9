"""Check a folder against its manifest, byte by byte, before anything in it is deserialised.

Guarantees: every listed file is a plain file below the folder, reached through no symbolic link, with the size and
sha256 that the manifest gives, and nothing else lies beside them (names that start with a dot aside). It does not
guard against somebody changing the files afterwards: that is why fetched bundles live in a cache of our own.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from luntra_serving.bundle.canonical import MAX_MANIFEST_BYTES, digest_of, parse_manifest
from luntra_serving.bundle.paths import MANIFEST
from luntra_serving.errors import PermanentLoadError, Reason

if TYPE_CHECKING:
    from luntra_serving.bundle.manifest import FileEntry, Manifest


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder whose files were verified against `digest`."""

    folder: Path
    manifest: Manifest
    digest: str

    @property
    def entry(self) -> Path:
        """The file that the backend starts from."""
        return self.folder / self.manifest.backend.entry

    @property
    def samples(self) -> Path:
        """The file with the self-test samples."""
        return self.folder / self.manifest.selfTest.samples


def check_digest(content: bytes, expected: str, where: str) -> None:
    """Raise PermanentLoadError (DigestMismatch) unless the manifest's bytes have the digest `expected`."""
    actual = digest_of(content)
    if actual != expected:
        raise PermanentLoadError(
            Reason.DIGEST_MISMATCH,
            f"{MANIFEST} at {where} has digest {actual}, but {expected} was asked for; "
            "another bundle was uploaded there, or the digest belongs to another version",
        )


def verify_folder(folder: Path, digest: str | None = None) -> Bundle:
    """Return the bundle in `folder` once every byte is verified; without `digest` the manifest is taken at its word.

    Raises PermanentLoadError: InvalidBundle or DigestMismatch.
    """
    content = _read_manifest(folder)
    if digest is not None:
        check_digest(content, digest, str(folder))
    manifest = parse_manifest(content)
    for entry in manifest.files:
        verify_file(folder, entry)
    _refuse_unlisted(folder, {entry.path for entry in manifest.files})
    return Bundle(folder, manifest, digest_of(content))


def verify_file(folder: Path, entry: FileEntry) -> None:
    """Raise PermanentLoadError unless `entry` is in `folder` with its size and sha256, and behind no symbolic link."""
    refuse_symlinks(folder, entry.path)
    path = folder / entry.path
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _invalid(f"file {entry.path!r} is listed but cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _invalid(f"file {entry.path!r} is not a plain file")
        if status.st_size != entry.size:
            raise mismatch(entry, f"has {status.st_size} bytes")
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != entry.sha256:
        raise mismatch(entry, f"has sha256 {actual}")


def refuse_symlinks(folder: Path, path: str) -> None:
    """Raise PermanentLoadError (InvalidBundle) if `path` below `folder` is, or goes through, a symbolic link."""
    current = folder
    for segment in path.split("/"):
        current = current / segment
        if current.is_symlink():
            raise _invalid(f"file {path!r} goes through the symbolic link {segment!r}; put the file itself there")


def mismatch(entry: FileEntry, found: str) -> PermanentLoadError:
    """Return the error for a file that is not the one that the manifest lists."""
    return PermanentLoadError(
        Reason.DIGEST_MISMATCH,
        f"file {entry.path!r} {found}, but {MANIFEST} lists {entry.size} bytes with sha256 {entry.sha256}; "
        "upload the bundle again, all files of one packing together",
    )


def listed_files(folder: Path) -> list[str]:
    """Return the sorted relative names of the files below `folder`, the manifest and names with a dot first left out.

    Raises PermanentLoadError (InvalidBundle) for symbolic links and for what is neither file nor folder.
    """
    names = []
    for root, folders, files in os.walk(folder):
        base = Path(root)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders + [name for name in files if not name.startswith(".")]:
            path = base / name
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink():
                raise _invalid(f"{relative!r} is a symbolic link; put the file itself there")
            if path.is_file():
                names.append(relative)
            elif not path.is_dir():
                raise _invalid(f"{relative!r} is neither a file nor a folder; remove it")
    return sorted(name for name in names if name != MANIFEST)


def _read_manifest(folder: Path) -> bytes:
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}; a bundle is a folder that luntra-bundle pack has packed"
        raise _invalid(problem) from error
    if len(content) > MAX_MANIFEST_BYTES:
        raise _invalid(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes")
    return content


def _refuse_unlisted(folder: Path, listed: set[str]) -> None:
    extra = [name for name in listed_files(folder) if name not in listed]
    if extra:
        raise _invalid(f"file {extra[0]!r} is not listed in {MANIFEST}; pack the bundle again, or remove the file")


def _invalid(problem: str) -> PermanentLoadError:
    return PermanentLoadError(Reason.INVALID_BUNDLE, problem)
