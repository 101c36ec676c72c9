"""docs/metrics-sources.md says what the code does: its messages, placeholders, variables and examples."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import luntra_operator
from luntra_operator.api.sources import PLACEHOLDERS, JobQuery, PrometheusQuery, WebQuery
from luntra_operator.sources.job import environment, said
from luntra_operator.sources.json_path import compiled_path
from luntra_operator.sources.target import Target

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGE = (Path(__file__).parents[3] / "docs/metrics-sources.md").read_text()
CODE = Path(luntra_operator.__file__).parent
SOURCES = [*(CODE / "sources").glob("*.py"), CODE / "runtime/borrowing.py"]


def told() -> list[str]:
    """The messages in the first column of the table of errors."""
    rows = [line for line in PAGE.partition("## Errors")[2].splitlines() if line.startswith("| `")]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row.split("|")[1])]


def written() -> Iterator[str]:
    """What the code has in strings, as far as it is fixed."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_table_of_errors_is_found() -> None:
    assert len(told()) > 20


@pytest.mark.parametrize("message", told())
def test_message_of_the_page_is_one_of_the_code(message: str) -> None:
    strings = list(written())
    for part in re.split(r"…|\d+", message):
        assert len(part.strip()) <= 2 or any(part.strip() in string for string in strings), part


def test_placeholders_and_variables_are_all_told(target: Target) -> None:
    assert set(re.findall(r"`\{\{ (\w+) \}\}`", PAGE)) == set(PLACEHOLDERS)
    assert set(re.findall(r"`(LUNTRA_\w+)`", PAGE)) == set(environment(target))


def test_examples_are_accepted() -> None:
    blocks = [
        yaml.safe_load(block) for block in re.findall(r"```yaml\n((?:prometheus|web|job):.*?)```", PAGE, re.DOTALL)
    ]
    kinds: dict[str, type[BaseModel]] = {"prometheus": PrometheusQuery, "web": WebQuery, "job": JobQuery}
    found = {name: kinds[name].model_validate(given) for block in blocks for name, given in block.items()}
    assert found.keys() == kinds.keys()
    assert isinstance(found["web"], WebQuery)
    compiled_path(found["web"].json_path)
    (verdict,) = re.findall(r"echo '(\{.*?\})'", PAGE)
    assert said(verdict)
