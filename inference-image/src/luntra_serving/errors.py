"""The error tree of the package, and the closed list of reasons for which a version cannot be loaded.

    LuntraError
    ├── LoadError            a version cannot be served; carries a Reason
    │   ├── PermanentLoadError   the same document can never load: exit code 3, nothing is retried
    │   └── TransientLoadError   the world may change (network, disk): retried, then exit code 1
    └── RequestError         one request cannot be answered; carries the HTTP status

A class exists here only because somebody branches on it. What went wrong in detail is in the message, which names
the field, the value and what to do.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a version cannot be loaded: the word before the colon in the termination message (docs/serving.md)."""

    INVALID_DOCUMENT = "InvalidDocument"
    UNSUPPORTED_SCHEME = "UnsupportedScheme"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    CACHE_UNAVAILABLE = "CacheUnavailable"
    DIGEST_MISMATCH = "DigestMismatch"
    INVALID_BUNDLE = "InvalidBundle"
    BUNDLE_TOO_LARGE = "BundleTooLarge"
    UNSUPPORTED_BACKEND = "UnsupportedBackend"
    UNSAFE_MODEL = "UnsafeModel"
    LOAD_FAILED = "LoadFailed"
    SELF_TEST_FAILED = "SelfTestFailed"


class LuntraError(Exception):
    """Anything that this package raises on purpose."""


class LoadError(LuntraError):
    """A version cannot be served, for `reason`."""

    permanent = False

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class PermanentLoadError(LoadError):
    """Loading the same version again would fail in the same way."""

    permanent = True


class TransientLoadError(LoadError):
    """Loading the same version again may succeed: the source or the disk did not answer as hoped."""


class RequestError(LuntraError):
    """One request cannot be answered; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
