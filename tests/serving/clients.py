"""Clients that ask all the time while something else happens to the server."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Self


class Clients(ABC):
    """So many threads that run `ask` until the context ends; `ask` returns soon after `stop` is set."""

    def __init__(self, count: int) -> None:
        self.problems: list[str] = []
        self.stop = threading.Event()
        self._threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()

    @abstractmethod
    def ask(self, number: int) -> None:
        """What one client does, from its thread's beginning to its end."""
