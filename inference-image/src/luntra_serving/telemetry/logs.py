"""Logs: one JSON object a line for machines, or one readable line for a laptop. Standard logging underneath.

Fields go into `extra={...}`; a `fix` field says what to do about a warning or an error.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

LogFormat = Literal["json", "text"]
_SELDOM_SECONDS = 60.0
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        line = f"{clock} {record.levelname.lower():<7} {record.getMessage()}{fields}"
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def configure_logs(log_format: LogFormat) -> None:
    """Send every log of the process to stderr in `log_format`; libraries speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("luntra_serving").setLevel(logging.INFO)


class _Seldom(logging.Handler):
    """Passes on a message to the process's log, unless it did so less than a minute ago.

    Messages are the same if their templates are: what differs in each (a time, an object's address) must not make them new.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._since: dict[tuple[str, str], float] = {}
        self._dropped: dict[tuple[str, str], int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held."""
        message, now = (record.name, str(record.msg)), self._now()
        if now - self._since.get(message, -math.inf) < _SELDOM_SECONDS:
            self._dropped[message] = self._dropped.get(message, 0) + 1
            return
        self._since[message] = now
        if dropped := self._dropped.pop(message, 0):
            record.repeated = dropped
        logging.getLogger().handle(record)


def say_seldom(name: str) -> None:
    """Have each message of the logger `name`, and of those below it, written at most once a minute, with how often it came."""
    logger = logging.getLogger(name)
    logger.propagate = False
    logger.handlers[:] = [_Seldom()]


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
