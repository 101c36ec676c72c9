"""Waiting for kinds: what `kubectl wait` would give up on is waited for, and what never comes is named."""

import json
import sys
from pathlib import Path

import pytest

from e2e.kind import definitions
from e2e.kind.errors import HarnessError

SERVED = [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]


def kubectl(folder: Path, *answers: object) -> list[str]:
    """A program that prints one answer after the other, the last one again and again: the conditions of a CRD."""
    lists = [{"items": [{"metadata": {"name": "digits.test"}, "status": {"conditions": one}}]} for one in answers]
    (folder / "answers").write_text("\n".join(json.dumps(one) for one in lists))
    program = (
        "import sys; from pathlib import Path; left = Path(sys.argv[1]); first, *rest = left.read_text().splitlines(); "
    )
    program += "print(first); rest and left.write_text(chr(10).join(rest))"
    return [sys.executable, "-c", program, str(folder / "answers")]


def test_kind_without_conditions_is_waited_for(tmp_path: Path) -> None:
    definitions.until_served(kubectl(tmp_path, None, [], SERVED[:1], SERVED))
    assert (tmp_path / "answers").read_text().count("\n") == 0


def test_kind_that_is_never_served_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "SERVED_WITHIN", 0.1)
    with pytest.raises(HarnessError, match=r"digits\.test"):
        definitions.until_served(kubectl(tmp_path, None))


def test_what_kubectl_says_is_told() -> None:
    with pytest.raises(HarnessError, match="no such server"):
        definitions.until_served([sys.executable, "-c", "raise SystemExit('no such server')"])
