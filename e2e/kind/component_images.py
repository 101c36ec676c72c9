"""Images of the cluster's own components as docker-archives: one layer with a program and the libraries it needs.

Pure file work: what goes into which image is decided by `plan`, `write_archive` writes it, byte for byte the same
from the same input. Libraries come out of the Debian root that is handed in, never from this machine. Nothing is
loaded anywhere; `node_image` does that.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import versions

if TYPE_CHECKING:
    from collections.abc import Mapping

KUBERNETES_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
XTABLES = "/usr/sbin/xtables-nft-multi"
XTABLES_NAMES = tuple(
    f"{family}{suffix}" for family in ("iptables", "ip6tables") for suffix in ("", "-save", "-restore")
)
EPOCH = "2026-01-01T00:00:00Z"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class ComponentImage:
    """One image: its name, what it starts, files (path in the image -> path here) and links (path -> target)."""

    tag: str
    entrypoint: tuple[str, ...]
    files: Mapping[str, Path]
    links: Mapping[str, str] = field(default_factory=dict)


def plan(programs: Mapping[str, Path], root: Path) -> list[ComponentImage]:
    """Return the images that a node carries, given compiled programs by name and an unpacked Debian root."""
    images = [
        _static(f"registry.k8s.io/{name}:{versions.KUBERNETES}", f"/usr/local/bin/{name}", programs[name])
        for name in KUBERNETES_PODS
    ]
    images += [
        _kube_proxy(programs["kube-proxy"], root),
        _static(versions.ETCD_IMAGE, "/usr/local/bin/etcd", programs["etcd"]),
        _static(versions.COREDNS_IMAGE, "/coredns", programs["coredns"]),
        _static(versions.PAUSE_IMAGE, "/pause", programs["pause"]),
        _static(versions.BUILT_CONTOUR, "/bin/contour", programs["contour"]),
        _dynamic(versions.BUILT_ENVOY, "/usr/local/bin/envoy", programs["envoy"], root),
        _static(versions.BUILT_PROMETHEUS, "/bin/prometheus", programs["prometheus"]),
    ]
    return images


def _static(tag: str, path: str, program: Path) -> ComponentImage:
    return ComponentImage(tag, (path,), {path: program})


def _dynamic(tag: str, path: str, program: Path, root: Path) -> ComponentImage:
    return ComponentImage(tag, (path,), {path: program, **libraries(root, program)})


def _kube_proxy(program: Path, root: Path) -> ComponentImage:
    """kube-proxy calls nft and iptables; xtables' extensions are loaded at run time and need libraries of their own."""
    path = "/usr/local/bin/kube-proxy"
    folder = next((root / "usr/lib").glob("*/xtables"))
    extensions = sorted(folder.glob("*.so"))
    inside = {f"/{file.relative_to(root)}": file for file in extensions if not file.is_symlink()}
    links = {f"/{file.relative_to(root)}": str(file.readlink()) for file in extensions if file.is_symlink()}
    links |= {f"/usr/sbin/{name}": Path(XTABLES).name for name in XTABLES_NAMES}
    tools = {name: root / name.lstrip("/") for name in ("/usr/sbin/nft", XTABLES)}
    needed = libraries(root, *tools.values(), *inside.values())
    tag = f"registry.k8s.io/kube-proxy:{versions.KUBERNETES}"
    return ComponentImage(tag, (path,), {path: program, **tools, **inside, **needed}, links)


def libraries(root: Path, *programs: Path) -> dict[str, Path]:
    """Return all shared libraries that the programs need, as found inside `root` by its own loader (needs root)."""
    found: dict[str, Path] = {}
    for program in programs:
        inside = program if program.is_relative_to(root) else _lend(root, program)
        command = ["chroot", str(root), "ldd", f"/{inside.relative_to(root)}"]
        try:
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        finally:
            if inside != program:
                inside.unlink()
        for line in output.splitlines():
            path = next((word for word in line.split() if word.startswith("/")), None)
            if path:
                found[path] = resolve_inside(root, path)
    return found


def resolve_inside(root: Path, path: str) -> Path:
    """Return the file that `path` is in a system whose root is `root`, following links as that system would."""
    current = path
    for _ in range(40):
        parts = Path(current).parts[1:]
        for index in range(1, len(parts) + 1):
            here = root.joinpath(*parts[:index])
            if here.is_symlink():
                target = os.path.join("/", *parts[: index - 1], here.readlink())  # noqa: PTH118 - a path of that system
                current = os.path.normpath(os.path.join(target, *parts[index:]))  # noqa: PTH118
                break
        else:
            return root.joinpath(*parts)
    raise OSError(f"too many links from {path} in {root}")


def _lend(root: Path, program: Path) -> Path:
    lent = root / "tmp" / program.name
    try:
        lent.hardlink_to(program)
    except OSError:
        lent.write_bytes(program.read_bytes())
        lent.chmod(0o755)
    return lent


def write_archive(image: ComponentImage, target: Path) -> None:
    """Write a docker-archive that `ctr images import` and `docker load` read."""
    layer = _layer(image)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": EPOCH,
        "config": {"Entrypoint": list(image.entrypoint), "Env": [f"PATH={SEARCH_PATH}"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        "history": [{"created": EPOCH, "created_by": "luntra e2e"}],
    }
    raw = json.dumps(config, sort_keys=True).encode()
    name = hashlib.sha256(raw).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": [image.tag], "Layers": ["layer.tar.gz"]}]
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    with tarfile.open(target, "w") as archive:
        for member, content in (
            (name, raw),
            ("layer.tar.gz", packed),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _layer(image: ComponentImage) -> bytes:
    buffer = io.BytesIO()
    made: set[str] = set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as layer:

        def folder(path: str) -> None:
            if path in ("", "/") or path in made:
                return
            folder(str(Path(path).parent))
            made.add(path)
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if path == "/tmp" else 0o755
            layer.addfile(entry)

        for path in ("/tmp", "/etc", "/usr/local/bin"):
            folder(path)
        for path, source in sorted(image.files.items()):
            folder(str(Path(path).parent))
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = source.stat().st_size, 0o755
            with source.open("rb") as content:
                layer.addfile(entry, content)
        for path, goal in sorted(image.links.items()):
            folder(str(Path(path).parent))
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, goal, 0o777
            layer.addfile(entry)
    return buffer.getvalue()
