"""Fixtures of the serving tests: bundles and servers that several tests share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving.bundles import echo_bundle, points_bundle, spinner_bundle
from tests.serving.processes import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from luntra_serving.bundle.verify import Bundle


@pytest.fixture
def points(tmp_path: Path) -> Bundle:
    """A fresh, packed points bundle."""
    return points_bundle(tmp_path / "points-v1")


@pytest.fixture(scope="session")
def points_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the points bundle over both protocols, for tests that leave it as it is."""
    bundle = points_bundle(tmp_path_factory.mktemp("bundles") / "points-v1")
    with ServerProcess(bundle.folder, "--max-body", "100000", "--grpc-port", "0") as server:
        yield server.wait_ready()


@pytest.fixture(scope="session")
def echo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the echo bundle over both protocols."""
    bundle = echo_bundle(tmp_path_factory.mktemp("bundles") / "echo-v7")
    with ServerProcess(bundle.folder, "--grpc-port", "0") as server:
        yield server.wait_ready()


@pytest.fixture(scope="session")
def spinner(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A packed bundle of the model that is as slow as a request asks for."""
    return spinner_bundle(tmp_path_factory.mktemp("bundles") / "spinner-v1")


@pytest.fixture
def document(tmp_path: Path) -> Callable[..., Path]:
    """Write a workload document for a bundle; keyword arguments change its `stable` part."""

    def write(bundle: Bundle, **changes: Any) -> Path:
        stable = {
            "version": bundle.manifest.version,
            "revision": "3f2a9c1d0b",
            "uri": bundle.folder.as_uri(),
            "digest": bundle.digest,
            **changes,
        }
        path = tmp_path / "document.json"
        path.write_text(json.dumps({"generation": 4, "model": bundle.manifest.name, "stable": stable, "later": 1}))
        return path

    return write
