"""What a pod said last, fit for a status: bounded, without control characters, and without what looks like a secret. Pure."""

import re
from typing import Final

LINES: Final = 20
BYTES: Final = 2048
LONGEST_LINE: Final = 1000

_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SECRETS = (
    (re.compile(r"(?<=://)[^/@\s]+@"), "***@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), r"\1 ***"),
    (
        re.compile(
            r"(?i)([\w-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|signature|credential)[\w-]*['\"]?\s*[=:]\s*)"
            r"(?!\*\*\*)(\"[^\"]*\"|'[^']*'|[^\s&,;\"']+)"
        ),
        r"\1***",
    ),
)


def tail(text: str) -> tuple[str, ...]:
    """The last lines of a log: at most 20, and at most 2 KiB of UTF-8 in all."""
    lines = [cleaned[:LONGEST_LINE] for line in text.splitlines() if (cleaned := _clean(line).rstrip())][-LINES:]
    while sum(len(line.encode()) + 1 for line in lines) > BYTES:
        lines = [lines[0].encode()[-BYTES + 1 :].decode(errors="ignore")] if len(lines) == 1 else lines[1:]
    return tuple(lines)


def one_line(text: str) -> str:
    """A message in one line of at most 1000 characters."""
    line = " ".join(_clean(text).split())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def _clean(text: str) -> str:
    text = _CONTROL.sub(" ", _ESCAPE.sub("", text))
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
