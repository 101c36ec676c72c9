"""What a pod said, fit for a status: bounded, one's terminal left alone, no secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luntra_operator.controller.last_words import BYTES, LINES, LONGEST_LINE, one_line, tail


def test_the_last_twenty_lines_are_kept() -> None:
    assert tail("\n".join(map(str, range(100)))) == tuple(map(str, range(80, 100)))
    assert tail("") == tail("\n\n") == ()


def test_of_long_lines_the_last_two_kibibytes_are_kept() -> None:
    kept = tail("\n".join(["first", "x" * 900, "y" * 900, "z" * 900]))
    assert kept == ("y" * 900, "z" * 900)


@given(st.text(max_size=6000))
def test_nothing_that_comes_out_is_longer_or_controls_a_terminal(text: str) -> None:
    kept = tail(text)
    assert len(kept) <= LINES
    assert sum(len(line.encode(errors="replace")) + 1 for line in kept) <= BYTES
    line = one_line(text)
    assert len(line) <= LONGEST_LINE
    for piece in (*kept, line):
        assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in piece.replace("\t", " "))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("a\x00b\rc", "a b c"),
        ("trojan\u202esource", "trojan source"),
    ],
)
def test_control_characters_are_taken_out(text: str, expected: str) -> None:
    assert one_line(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "GET https://user:hunter2@data.example/x failed",
        "Authorization: Bearer hunter2hunter2",
        "password=hunter2 was refused",
        "AWS_SECRET_ACCESS_KEY: hunter2",
        'config {"token": "hunter2"}',
        "https://s3.example/e.npz?X-Amz-Signature=hunter2&X-Amz-Date=1",
        "https://x.example/e.npz?api_key=hunter2",
    ],
)
def test_what_looks_like_a_secret_is_not_echoed(text: str) -> None:
    assert "hunter2" not in one_line(text)
    assert "***" in one_line(text)
    assert "hunter2" not in tail(text)[0]


def test_plain_talk_stays_as_it_is() -> None:
    for text in ("p99 3.4 ms of 500 requests", "input tokens (INT64 [-1, 512]) is missing", "a key error: 'x'"):
        assert one_line(text) == text
