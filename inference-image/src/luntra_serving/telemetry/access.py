"""Which version answered which request: a line for each of them, or for a share, off unless somebody asks for it."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Logs the `share` (0 to 1) of all requests, chosen at random."""

    share: float = 0.0

    def note(self, model: str, version: str, code: int, seconds: float, request: str | None) -> None:
        """Perhaps log one answer; `request` is the client's id of it."""
        if self.share and (self.share >= 1 or random.random() < self.share):  # noqa: S311 - a sample, no secret
            fields = {
                "model": model,
                "version": version,
                "code": code,
                "ms": round(seconds * 1000, 3),
                "request": request,
            }
            _log.info("answered", extra=fields)
