"""Fetch a bundle into a folder keyed by its digest: whole and verified, or not there at all.

Files are streamed into a temporary folder, bounded and hashed on the way, and the folder is renamed into its place
once all are right; a reader never sees a partial bundle. What is already there is verified again before it is used.
Temporary folders of processes that died are recognised by their lock and removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from luntra_serving.bundle.canonical import MAX_MANIFEST_BYTES, parse_manifest
from luntra_serving.bundle.paths import MANIFEST
from luntra_serving.bundle.verify import Bundle, check_digest, mismatch, verify_folder
from luntra_serving.errors import PermanentLoadError, Reason, TransientLoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luntra_serving.artifacts.source import Source
    from luntra_serving.bundle.manifest import FileEntry, Manifest

MAX_BUNDLE_BYTES = 64 * 2**30

_log = logging.getLogger(__name__)


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class BundleCache:
    """Bundles below `root`, one folder for each digest; several processes may share it."""

    def __init__(
        self, root: Path, *, max_bytes: int = MAX_BUNDLE_BYTES, free_bytes: Callable[[Path], int] = _free_bytes
    ) -> None:
        self._bundles = root / "bundles"
        self._unfinished = root / "unfinished"
        self._max_bytes = max_bytes
        self._free_bytes = free_bytes

    def obtain(self, source: Source, digest: str) -> Bundle:
        """Return the verified bundle with `digest`, fetching it from `source` unless it is here already.

        Raises PermanentLoadError if what the source has is not the bundle asked for, TransientLoadError if the source
        or the disk fails.
        """
        place = self._bundles / digest.removeprefix("sha256:")
        with _disk_errors(self._bundles):
            if place.exists():
                kept = self._kept(place, digest)
                if kept:
                    return kept
            self._bundles.mkdir(parents=True, exist_ok=True)
            self._unfinished.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            return self._fetch(source, digest, place)

    def _kept(self, place: Path, digest: str) -> Bundle | None:
        try:
            return verify_folder(place, digest)
        except PermanentLoadError as error:
            _log.warning(
                "cached bundle is damaged and is fetched again", extra={"folder": str(place), "why": str(error)}
            )
            shutil.rmtree(place)
            return None

    def _fetch(self, source: Source, digest: str, place: Path) -> Bundle:
        workspace = Path(tempfile.mkdtemp(dir=self._unfinished))
        with _locked(workspace):
            try:
                folder = workspace / "bundle"
                folder.mkdir()
                manifest = self._fetch_manifest(source, digest, folder)
                for entry in manifest.files:
                    _fetch_file(source, entry, folder)
                _put_in_place(folder, place)
                return verify_folder(place, digest)
            finally:
                shutil.rmtree(workspace, ignore_errors=True)

    def _fetch_manifest(self, source: Source, digest: str, folder: Path) -> Manifest:
        content = b"".join(_bounded(source, MANIFEST, MAX_MANIFEST_BYTES))
        check_digest(content, digest, source.uri)
        manifest = parse_manifest(content)
        if manifest.total_bytes > self._max_bytes:
            raise PermanentLoadError(
                Reason.BUNDLE_TOO_LARGE,
                f"the bundle at {source.uri} has {manifest.total_bytes} bytes; at most {self._max_bytes} are accepted",
            )
        free = self._free_bytes(folder)
        if manifest.total_bytes > free:
            raise TransientLoadError(
                Reason.CACHE_UNAVAILABLE,
                f"the bundle needs {manifest.total_bytes} bytes, {folder.parent.parent} has {free} free; "
                "give the cache volume more room",
            )
        (folder / MANIFEST).write_bytes(content)
        return manifest

    def _remove_abandoned(self) -> None:
        for workspace in self._unfinished.iterdir():
            with contextlib.suppress(BlockingIOError, FileNotFoundError, NotADirectoryError), _locked(workspace):
                shutil.rmtree(workspace, ignore_errors=True)
                _log.info("removed what a fetch that died had left", extra={"folder": str(workspace)})


def _fetch_file(source: Source, entry: FileEntry, folder: Path) -> None:
    target = folder / entry.path
    target.parent.mkdir(parents=True, exist_ok=True)
    hashed = hashlib.sha256()
    size = 0
    with target.open("xb") as file:
        for chunk in source.chunks(entry.path):
            size += len(chunk)
            if size > entry.size:
                raise mismatch(entry, f"at {source.uri} has more than {entry.size} bytes")
            hashed.update(chunk)
            file.write(chunk)
    if size != entry.size:
        raise mismatch(entry, f"at {source.uri} has {size} bytes")
    if hashed.hexdigest() != entry.sha256:
        raise mismatch(entry, f"at {source.uri} has sha256 {hashed.hexdigest()}")


def _bounded(source: Source, path: str, limit: int) -> Iterator[bytes]:
    size = 0
    for chunk in source.chunks(path):
        size += len(chunk)
        if size > limit:
            problem = f"{path} at {source.uri} is larger than {limit} bytes; is the uri the folder of a bundle?"
            raise PermanentLoadError(Reason.INVALID_BUNDLE, problem)
        yield chunk


def _put_in_place(folder: Path, place: Path) -> None:
    try:
        folder.rename(place)
    except OSError as error:
        # Another process was faster with the same bundle: theirs is as good, and is verified before use.
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process; BlockingIOError if another holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TransientLoadError(
            Reason.CACHE_UNAVAILABLE,
            f"the cache below {folder.parent} cannot be written: {error.strerror or error}; "
            "the cache volume must be writable and have room for the bundle",
        ) from error
