"""Things that come from Debian's archive: packages on this machine, and whole root file systems.

Installing is done only as root on a Debian system; anywhere else the command to type is named. Root file systems are
made by mmdebstrap from the machine's own Debian sources, so a mirror that is set up here is used.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import cache, versions
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.kind.progress import Progress

APT = ("apt-get", "-o", "DPkg::Lock::Timeout=600", "-y", "-q")


def is_debian() -> bool:
    """Tell whether this is Debian or a child of it, with apt."""
    return Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def require(programs: Mapping[str, str], why: str, progress: Progress) -> None:
    """See to it that every program (name -> Debian package) is on PATH.

    Raises:
        HarnessError: some are missing and we may not install them; the message has the command to type.
    """
    missing = {name: package for name, package in programs.items() if on_path(name) is None}
    if not missing:
        return
    packages = sorted(set(missing.values()))
    if os.geteuid() != 0 or not is_debian():
        raise HarnessError(
            f"{', '.join(sorted(missing))} not found, needed {why}. Type: sudo apt-get install {' '.join(packages)}"
            + ("" if is_debian() else "  (or what your system calls these packages)")
        )
    with progress.step(f"install Debian packages {' '.join(packages)}, needed {why}"):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        progress.run([*APT, "update"], "apt-update", env=env)
        progress.run([*APT, "install", "--no-install-recommends", *packages], "apt-install", env=env)


def on_path(name: str) -> str | None:
    """Return where a program is, looking into the system folders too, which a plain user's PATH may lack."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def root_file_system(name: str, packages: tuple[str, ...], progress: Progress) -> Path:
    """Return a tar of a minimal Debian with these packages (gid, uid and modes kept); needs root."""
    key = cache.content_key(versions.DEBIAN_SUITE, *packages)

    def build(target: Path) -> None:
        if os.geteuid() != 0:
            raise HarnessError(
                f"building the {name} file system needs root: use a machine that can pull images, or sudo"
            )
        require({"mmdebstrap": "mmdebstrap"}, "to build images that cannot be pulled here", progress)
        command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", versions.DEBIAN_SUITE]
        progress.run([*command, str(target / "root.tar"), *debian_sources()], f"mmdebstrap-{name}")

    if found := cache.cached("roots", name, key):
        return found / "root.tar"
    with progress.step(f"build a Debian root for {name}"):
        return cache.ensure("roots", name, key, build, progress) / "root.tar"


def debian_sources(folder: Path = Path("/etc/apt")) -> list[str]:
    """Return this machine's apt source files that name the Debian suite; other vendors' archives are left out."""
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    wanted = []
    for file in files:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        words = file.read_text().split()
        suites = {versions.DEBIAN_SUITE, f"{versions.DEBIAN_SUITE}-updates", f"{versions.DEBIAN_SUITE}-security"}
        if suites & set(words):
            wanted.append(str(file))
    return wanted
