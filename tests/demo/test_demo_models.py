"""When the demo's models are trained anew, and when not."""

from __future__ import annotations

import ast
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from e2e.demo.models import EXAMPLE, LIBRARIES, REPOSITORY, training_key

if TYPE_CHECKING:
    from pathlib import Path

SERVING = "inference-image/src/luntra_serving"
LOCK = """
[[package]]
name = "torch"
version = "2.15.0"

[[package]]
name = "aiohttp"
version = "3.14.5"
"""
DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
"""Module -> the package that brings it, where they differ."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one file of each kind."""
    files = (
        "examples/digits/train.py",
        "examples/digits/README.md",
        f"{SERVING}/bundle/pack.py",
        f"{SERVING}/errors.py",
    )
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "uv.lock").write_text(LOCK)
    return tmp_path


@pytest.mark.parametrize("name", ["examples/digits/train.py", "examples/digits/new.py", f"{SERVING}/bundle/pack.py"])
def test_change_of_what_trains_or_packs_trains_anew(repository: Path, name: str) -> None:
    before = training_key(repository)
    (repository / name).write_text("2")
    assert training_key(repository) != before


def test_another_release_of_a_library_trains_anew(repository: Path) -> None:
    before = training_key(repository)
    (repository / "uv.lock").write_text(LOCK.replace("2.15.0", "2.15.1"))
    assert training_key(repository) != before


@pytest.mark.parametrize("name", ["examples/digits/README.md", f"{SERVING}/errors.py", f"{SERVING}/new.py"])
def test_change_of_other_code_does_not(repository: Path, name: str) -> None:
    before = training_key(repository)
    (repository / name).write_text("2")
    assert training_key(repository) == before


def test_another_release_of_another_library_does_not(repository: Path) -> None:
    before = training_key(repository)
    (repository / "uv.lock").write_text(LOCK.replace("3.14.5", "3.14.6"))
    assert training_key(repository) == before


def test_what_the_training_imports_is_in_the_key() -> None:
    scripts = [*EXAMPLE.glob("*.py"), *(REPOSITORY / SERVING / "bundle").glob("*.py")]
    modules = {module for script in scripts for module in _imported(script)}
    ours = {module for module in modules if module.startswith("luntra_serving.")}
    assert {module.split(".")[1] for module in ours} == {"bundle", "errors"}
    tops = {module.split(".")[0] for module in modules - ours} - sys.stdlib_module_names
    libraries = {DISTRIBUTIONS.get(module, module) for module in tops - {script.stem for script in scripts}}
    assert libraries <= LIBRARIES
    assert {one["name"] for one in tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]} >= LIBRARIES


def _imported(script: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(script.read_text())))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return named | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
