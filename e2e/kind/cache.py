"""A folder of finished things, each under a name that says what it was made from.

An entry is published by one rename, so it is either complete or not there; a build that was killed leaves only a
folder below `tmp/`, which the next build of the same entry removes. One lock per entry keeps two runs from building
it twice: locks are the kernel's (`flock`), so a killed run holds none. Nothing here ever evicts: `docs/cluster.md`
says how to clean. What an entry contains is its builder's business.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.kind.progress import Progress

KEY_LENGTH = 12


def root() -> Path:
    """Return the cache folder: LUNTRA_CACHE, else XDG_CACHE_HOME/luntra, else ~/.cache/luntra; it may not exist yet."""
    if chosen := os.environ.get("LUNTRA_CACHE"):
        return Path(chosen).absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).absolute() / "luntra"
    return Path.home() / ".cache" / "luntra"


def folder(name: str) -> Path:
    """Return the folder `name` of the cache, made if it was missing."""
    path = root() / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def content_key(*parts: str | bytes) -> str:
    """Return 12 hex digits that depend on every part and on where one ends and the next begins."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()[:KEY_LENGTH]


def tree_key(*paths: Path) -> str:
    """Return the content key of files and folders: relative names, executable bits and bytes, in a fixed order.

    Byte-code folders are left out; a path that does not exist counts as an empty folder.
    """
    parts: list[str | bytes] = []
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            if "__pycache__" in file.parts:
                continue
            name = file.name if file == path else str(file.relative_to(path))
            parts += [name, "x" if os.access(file, os.X_OK) else "-", file.read_bytes()]
        parts.append("end")
    return content_key(*parts)


def cached(store: str, name: str, key: str) -> Path | None:
    """Return the finished entry, or None."""
    path = root() / store / f"{name}-{key}"
    return path if path.exists() else None


def ensure(store: str, name: str, key: str, build: Callable[[Path], None], progress: Progress) -> Path:
    """Return the entry `store/name-key`, calling `build(new empty folder)` if there is none yet.

    Whatever `build` raises is passed on, and nothing is published then.
    """
    if found := cached(store, name, key):
        return found
    with lock(f"{store}-{name}", progress):
        if found := cached(store, name, key):
            return found
        scratch = folder("tmp")
        for stale in scratch.glob(f"{store}-{name}-*"):
            discard(stale)
        half = Path(tempfile.mkdtemp(prefix=f"{store}-{name}-", dir=scratch))
        half.chmod(0o755)
        try:
            build(half)
            done = folder(store) / f"{name}-{key}"
            half.rename(done)
        except BaseException:
            discard(half)
            raise
    return done


def discard(path: Path) -> None:
    """Remove a folder, unmounting first what a killed build may have left mounted inside it."""
    unmount_below(path)
    shutil.rmtree(path, ignore_errors=True)


def mount_points(mountinfo: str, folder: str) -> list[str]:
    """Return what is mounted below a folder, innermost first, from the text of /proc/self/mountinfo."""
    points = [line.split()[4].replace("\\040", " ") for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if point.startswith(f"{folder}/")]


def unmount_below(folder: Path) -> None:
    """Unmount everything below a folder."""
    for point in mount_points(Path("/proc/self/mountinfo").read_text(), str(folder)):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


@contextmanager
def lock(name: str, progress: Progress) -> Iterator[None]:
    """Hold the lock `name`; another holder is waited for, and named. The kernel frees it if we are killed."""
    path = folder("locks") / name
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            progress.note(f"waiting for process {file.read().strip() or '?'}, which is at work on {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
