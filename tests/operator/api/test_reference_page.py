"""docs/reference.md lists every word that Luntra writes into the cluster, and no other."""

import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import pytest

from luntra_operator.api import vocabulary

PAGE = Path("docs/reference.md").read_text(encoding="utf-8")


def listed(heading: str) -> set[str]:
    """The words in the first column of the table below a heading."""
    section = PAGE.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")][2:]
    return {word.strip(" `") for row in rows for word in row.split(",")}


def words(of: Iterable[StrEnum]) -> set[str]:
    return {str(word) for word in of}


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Phases", words(vocabulary.Phase)),
        ("Conditions", words(vocabulary.Condition)),
        ("Reasons", words(vocabulary.Reason)),
        (
            "Labels and annotations",
            {value for name, value in vars(vocabulary).items() if re.match("LABEL_|ANNOTATION_", name)},
        ),
    ],
)
def test_page_lists_every_word_and_no_other(heading: str, expected: set[str]) -> None:
    """Breaks if a word is added, renamed or dropped without telling the users."""
    assert expected
    assert listed(heading) == expected


def test_values_of_labels_and_headers_are_listed() -> None:
    for value in (
        vocabulary.ROLE_SERVING,
        vocabulary.ROLE_CHECK,
        vocabulary.HEADER_PREVIEW,
        vocabulary.HEADER_PARKED,
        vocabulary.FRAME_PARKED,
    ):
        assert f"`{value}`" in PAGE
    assert f"`{vocabulary.HOST_PARKED}-" in PAGE
