"""What travels to a node when an image is loaded."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

from e2e.kind import image_loading

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = b'{"rootfs": {}}'
BASE, CODE = b"base layer", gzip.compress(b"code layer", mtime=0)
ENTRY = {"Config": "c.json", "RepoTags": ["luntra/operator:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def archive() -> io.BytesIO:
    files = {"a/layer.tar": BASE, "b/layer.tar": CODE, "c.json": CONFIG, "manifest.json": json.dumps([ENTRY]).encode()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def layout(tmp_path: Path, present: list[str]) -> dict[str, bytes]:
    blobs, documents = image_loading.read_archive(archive(), present, tmp_path)
    target = tmp_path / "layout.tar"
    image_loading.write_layout(target, "luntra/operator:1", json.loads(documents["manifest.json"])[0], blobs)
    with tarfile.open(target) as tar:
        return {m.name: file.read() for m in tar.getmembers() if (file := tar.extractfile(m))}


def path(content: bytes) -> str:
    return "blobs/" + digest(content).replace(":", "/")


def test_a_layer_that_the_node_has_stays_behind_but_is_named(tmp_path: Path) -> None:
    files = layout(tmp_path, [digest(BASE)])
    assert path(BASE) not in files
    assert files[path(CODE)] == CODE
    assert files[path(CONFIG)] == CONFIG
    manifest = next(json.loads(text) for text in files.values() if b"schemaVersion" in text and b"layers" in text)
    assert [layer["digest"] for layer in manifest["layers"]] == [digest(BASE), digest(CODE)]
    assert [layer["size"] for layer in manifest["layers"]] == [len(BASE), len(CODE)]


def test_an_empty_node_gets_every_layer(tmp_path: Path) -> None:
    files = layout(tmp_path, [])
    assert files[path(BASE)] == BASE
    assert files[path(CODE)] == CODE


def test_compressed_layers_are_declared_as_such(tmp_path: Path) -> None:
    files = layout(tmp_path, [])
    manifest = next(json.loads(text) for text in files.values() if b"schemaVersion" in text and b"layers" in text)
    assert [layer["mediaType"].endswith("+gzip") for layer in manifest["layers"]] == [False, True]


def test_the_image_has_the_name_that_pods_ask_for(tmp_path: Path) -> None:
    index = json.loads(layout(tmp_path, [])["index.json"])
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "docker.io/luntra/operator:1"
