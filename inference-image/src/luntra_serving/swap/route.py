"""The route: which versions answer, as one immutable object that one attribute store publishes.

A request reads the current route once and stays with what it read. The store is one instruction, so a reader sees the
old route or the new one and never a mix; it takes no lock and waits for nobody. Epochs only grow.

Not guaranteed: that two requests which start at the same instant see the same route.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Generic

from .version import Model, Version


def share(session: str, identity: str) -> float:
    """A session's place in [0, 100): below the candidate's weight it belongs to the candidate.

    It depends on the session and the candidate alone, so every pod gives the same answer, and a higher weight only ever
    moves sessions towards the candidate (consistent assignment by hashing, as in weighted rendezvous).
    """
    digest = blake2b(f"{identity}\0{session}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 * 100


@dataclass(frozen=True, slots=True)
class SessionRule:
    """How sessions count: `key` is what whoever asks calls the part of a request that names its session.

    Without `ttl` a session's version follows from its name and the weight. With it, an episode begins with a session's first
    request and stays with that request's version until its end, or until nothing came for `ttl` seconds (see `episodes`).
    """

    key: str
    ttl: float | None = None


def _turns() -> itertools.count[int]:
    return itertools.count(1)


@dataclass(frozen=True, slots=True)
class Route(Generic[Model]):
    """Who answers at one `epoch`: `candidate` gets `weight` percent of the requests, `stable` the others.

    Besides, the candidate gets copies of `shadow` percent of the requests that stable answers, and their answers are dropped.
    """

    epoch: int = 0
    stable: Version[Model] | None = None
    candidate: Version[Model] | None = None
    weight: int = 0
    shadow: int = 0
    session: SessionRule | None = None
    turns: itertools.count[int] = field(default_factory=_turns, compare=False, repr=False)
    shadow_turns: itertools.count[int] = field(default_factory=_turns, compare=False, repr=False)
    only: Version[Model] | None = field(init=False, compare=False, repr=False)
    """The version that answers every request, whatever its session; None where there is a choice, or nothing."""

    def __post_init__(self) -> None:
        choice = self.candidate is not None or (self.session is not None and self.session.ttl is not None)
        object.__setattr__(self, "only", None if choice else self.stable)  # as the rest of a frozen dataclass is set

    def pick(self, session: str | None) -> Version[Model] | None:
        """The version for a request; without a session the candidate's share is spread evenly, not in random clumps.

        Of any 100 requests in a row exactly `weight` go to the candidate, as far apart as they can be (the error
        diffusion of Bresenham's line).
        """
        if self.candidate is None:
            return self.stable
        if session is not None:
            identity = self.candidate.identity
            mine = share(session, identity.revision or identity.digest) < self.weight
        else:
            mine = _is_due(next(self.turns), self.weight)
        return self.candidate if mine else self.stable

    def shadows(self, answering: Version[Model]) -> bool:
        """Whether the candidate is to get a copy of this request, which `answering` answers; spread as evenly."""
        return self.shadow > 0 and answering is self.stable and _is_due(next(self.shadow_turns), self.shadow)

    def names(self, version: Version[Model]) -> bool:
        """Whether new requests may get this version."""
        return version is self.stable or version is self.candidate


def _is_due(turn: int, percent: int) -> bool:
    return turn * percent // 100 != (turn - 1) * percent // 100
