"""Tell a person what is being done, how far it is and how long it has taken; run programs with their output in a log.

One line when something starts, one when it ends, and a sign of life every half minute in between; on a terminal the
sign of life is a line that counts the seconds. A program that fails is reported with the end of its log and the path
of the whole. Logs are kept in the cache folder, one per program, overwritten by the next run of the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from e2e.kind import cache
from e2e.kind.errors import CommandError, HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

SIGN_OF_LIFE = 30.0
TAIL_LINES = 25


def clock_face(seconds: float) -> str:
    """Return a duration as people read it on a stop-watch, such as 02:41."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"


def dies_with_us(command: Sequence[str]) -> list[str]:
    """Return the command such that the kernel ends it when we are killed and cannot do it ourselves (util-linux)."""
    return ["setpriv", "--pdeathsig", "KILL", *command] if shutil.which("setpriv") else list(command)


class Progress:
    """Counts steps towards a total that may grow, on one stream. Not for use from several threads."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._begun = clock()
        self._done = 0
        self._total = 0

    @property
    def elapsed(self) -> float:
        """Seconds since this object was made."""
        return self._clock() - self._begun

    def expect(self, steps: int) -> None:
        """Announce `steps` more steps, so that "3/9" means something."""
        self._total += steps

    def note(self, text: str) -> None:
        """Say something that is not a step."""
        self._line(f"{clock_face(self.elapsed)}       {text}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Say that a step starts and, if it does not fail, how long it took."""
        self._done += 1
        self._total = max(self._total, self._done)
        count = f"{self._done}/{self._total}"
        started = self._clock()
        self._line(f"{clock_face(self.elapsed)} {count:>5} {title} ...")
        yield
        took = self._clock() - started
        if took >= 1:
            self._line(f"{clock_face(self.elapsed)} {count:>5} {title}: {took:.0f} s")

    def run(
        self,
        command: Sequence[str],
        log_name: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Run a program to its end with its output in the log `log_name`.

        Raises:
            CommandError: it exited with another status than 0.
            HarnessError: it is not installed.
        """
        log = cache.folder("logs") / f"{log_name}.log"
        if shutil.which(command[0], path=(env or os.environ).get("PATH")) is None:
            raise HarnessError(f"{command[0]}: not found")
        with log.open("wb") as output:
            child = subprocess.Popen(
                dies_with_us(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
            )
        try:
            status = self._wait(child, log_name)
        except BaseException:
            child.kill()
            child.wait()
            raise
        if status != 0:
            raise CommandError(" ".join(command[:3]), status, log, tail(log))

    def _wait(self, child: subprocess.Popen[bytes], what: str) -> int:
        started = said = self._clock()
        lively = self._stream.isatty()
        while True:
            try:
                return child.wait(timeout=1.0 if lively else 2.0)
            except subprocess.TimeoutExpired:
                now = self._clock()
            if lively:
                self._stream.write(f"\r{clock_face(self.elapsed)}       {now - started:.0f} s\r")
                self._stream.flush()
            elif now - said >= SIGN_OF_LIFE:
                said = now
                self.note(f"... {what}: {now - started:.0f} s")

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a text file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
