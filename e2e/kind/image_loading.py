"""Copy an image from the engine into a node, but only the layers that the node has not got yet.

The engine writes the image out, layers that the node's store holds are dropped on the way, and what is left goes into
the node as an OCI layout. So after a change of our code one thin layer travels, not the gigabytes of dependencies
below it. Works with the archives of old (layer.tar by chain) and new (blobs by digest) docker; both have manifest.json.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from e2e.kind import cache
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2e.kind.engine import Engine

CHUNK = 1 << 20
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Blob:
    """A file of an image archive: its sha256 as `sha256:...`, its size, where it is kept (None: not kept), its kind."""

    digest: str
    size: int
    kept: Path | None
    gzipped: bool = False


def load(host: Engine, node: str, tag: str) -> None:
    """Copy an image into a node.

    Raises:
        HarnessError: the engine could not write the image out, or the node did not take it.
    """
    ctr = ["exec", "--interactive", node, "ctr", "--namespace=k8s.io"]
    present = set(host.docker(*ctr, "content", "list", "--quiet").split())
    with tempfile.TemporaryDirectory(prefix="load-", dir=cache.folder("tmp")) as scratch:
        with subprocess.Popen([host.client, "save", tag], env=host.env, stdout=subprocess.PIPE) as save:
            if save.stdout is None:
                raise HarnessError("docker save has no output")
            blobs, documents = read_archive(save.stdout, present, Path(scratch))
            save.stdout.read()
        if save.returncode != 0:
            raise HarnessError(f"docker save {tag} failed with exit status {save.returncode}")
        layout = Path(scratch) / "layout.tar"
        write_layout(layout, tag, json.loads(documents["manifest.json"])[0], blobs)
        with layout.open("rb") as source:
            done = subprocess.run(
                [host.client, *ctr, "images", "import", "--digests", "--snapshotter=overlayfs", "-"],
                env=host.env,
                stdin=source,
                capture_output=True,
                text=True,
                check=False,
            )
    if done.returncode != 0:
        raise HarnessError(f"loading {tag} into {node}: {done.stderr.strip()}")


def read_archive(stream: IO[bytes], present: Iterable[str], scratch: Path) -> tuple[dict[str, Blob], dict[str, bytes]]:
    """Read a docker archive; return its files by name, and the small JSON files as bytes.

    Contents whose digest is in `present` are not kept, all others are in `scratch`, named by their digest.
    """
    known = frozenset(present)
    blobs: dict[str, Blob] = {}
    documents: dict[str, bytes] = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            blob = _keep(content, known, scratch)
            blobs[member.name] = blob
            if member.name == "manifest.json" and blob.kept:
                documents[member.name] = blob.kept.read_bytes()
    return blobs, documents


def _keep(content: IO[bytes], known: frozenset[str], scratch: Path) -> Blob:
    half = scratch / "half"
    digest, size, first = hashlib.sha256(), 0, b""
    with half.open("wb") as file:
        while chunk := content.read(CHUNK):
            first = first or chunk[:2]
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
    name = digest.hexdigest()
    gzipped = first == GZIP
    if f"sha256:{name}" in known:
        half.unlink()
        return Blob(f"sha256:{name}", size, None, gzipped)
    return Blob(f"sha256:{name}", size, half.rename(scratch / name), gzipped)


def write_layout(target: Path, tag: str, entry: dict[str, Any], blobs: dict[str, Blob]) -> None:
    """Write an OCI layout with one image: `entry` is its part of manifest.json. Blobs that are not kept are left out."""
    config, layers = blobs[entry["Config"]], [blobs[name] for name in entry["Layers"]]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.size},
        "layers": [
            {"mediaType": LAYER + ("+gzip" if layer.gzipped else ""), "digest": layer.digest, "size": layer.size}
            for layer in layers
        ],
    }
    raw = json.dumps(manifest, sort_keys=True).encode()
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    name = f"docker.io/{tag}"
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag.rpartition(":")[2]}
    described = {"mediaType": MANIFEST, "digest": digest, "size": len(raw), "annotations": annotations}
    index = {"schemaVersion": 2, "manifests": [described]}
    with tarfile.open(target, "w") as layout:
        for path, text in (
            ("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode()),
            ("index.json", json.dumps(index).encode()),
            (_path(digest), raw),
        ):
            member = tarfile.TarInfo(path)
            member.size = len(text)
            layout.addfile(member, io.BytesIO(text))
        for digest, kept in {blob.digest: blob.kept for blob in (config, *layers) if blob.kept}.items():
            layout.add(kept, _path(digest))


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
