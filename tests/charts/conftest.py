"""`render`: the chart's objects as `helm template` makes them, with any values; `promtool` and `prometheus`: the programs."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.kind import binaries

CHART = Path(__file__).parents[2] / "charts/luntra"
Object = dict[str, Any]


class ChartError(Exception):
    """Helm refused; the message is what a user would read."""


def program(name: str) -> Path:
    """The path of a program."""
    found = binaries.find(name)
    if found is None:
        raise pytest.UsageError(f"{name} has not been built yet. Type: make binaries (once, some minutes)")
    return found


@pytest.fixture(scope="session")
def helm() -> Path:
    """The path of helm."""
    return program("helm")


@pytest.fixture(scope="session")
def promtool() -> Callable[..., str]:
    """Run promtool with arguments and return what it says; the test fails where it does."""
    path = program("promtool")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run([str(path), *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """The path of Prometheus."""
    return program("prometheus")


@pytest.fixture(scope="session")
def render(helm: Path) -> Callable[..., list[Object]]:
    """Render with values; `release` and `namespace` as on the command line.

    Raises:
        ChartError: helm refused the values.
    """

    def run(values: Object | None = None, release: str = "luntra", namespace: str = "luntra-system") -> list[Object]:
        command = [str(helm), "template", release, str(CHART), "--namespace", namespace, "--values", "-"]
        done = subprocess.run(command, input=json.dumps(values or {}), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ChartError(done.stderr)
        return [body for body in yaml.safe_load_all(done.stdout) if body]

    return run
