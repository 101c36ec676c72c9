"""Errors of a check.

CheckError            the check itself cannot be done: verdict Error
ServerError           a model server did not answer as it should
├── Unavailable       nobody there, or 503: may pass, so it is tried again until the time is up
└── Refused           any other answer than the one asked for: evidence about that server
"""

from __future__ import annotations


class CheckError(Exception):
    """The check cannot be done; `reason` is a CamelCase word, the text is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ServerError(Exception):
    """A model server did not give the answer that was asked for."""


class Unavailable(ServerError):  # noqa: N818 - a state of the server, named as the protocol names it
    """The server cannot be reached or says that it is not ready (503)."""


class Refused(ServerError):  # noqa: N818 - what the server did
    """The server answered with an error, with something unreadable, or not within the time for one request."""
