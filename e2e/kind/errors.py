"""What can go wrong in the cluster harness.

HarnessError            the message says what is wrong and what to type; `__main__` prints it without a traceback
└── CommandError       a program we started failed; carries its exit status and the path of its log
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class HarnessError(Exception):
    """The cluster, or something that it is made of, cannot be had; the message says what to do about it."""


class CommandError(HarnessError):
    """A program failed. `status` is its exit status, `log` the file that holds all it printed."""

    def __init__(self, what: str, status: int, log: Path, tail: str) -> None:
        super().__init__(f"{what} failed with exit status {status}; the end of {log}:\n{tail}")
        self.status = status
        self.log = log
