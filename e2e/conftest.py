"""The real cluster for everything in e2e/: made or found once, with the chart installed; a namespace of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.demo.models import Models, trained
from e2e.installation import Installation, install
from e2e.kind.progress import Progress
from e2e.scenarios.arena import Arena, entered


@pytest.fixture(scope="session")
def installation() -> Installation:
    """The cluster with Luntra installed; it stays up after the tests, `make cluster-down` removes it."""
    return install()


@pytest.fixture(scope="session")
def models() -> Models:
    """The digits bundles."""
    return trained(Progress())


@pytest.fixture
async def arena(installation: Installation, models: Models, tmp_path: Path) -> AsyncIterator[Arena]:
    """A fresh namespace; it is deleted afterwards without waiting."""
    async with entered(installation, models, tmp_path) as found:
        yield found
