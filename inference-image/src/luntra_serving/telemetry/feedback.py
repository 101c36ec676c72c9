"""What was said of answers, when it was known what had become of them: counted by the revision that gave them.

Any pod of a model may be told, so whoever wants a revision's numbers adds those of all pods.

Nothing grows without bound, whatever is said: of each model the revisions of which something was said last are kept, and so
are the ids that came last. A repeated id counts once while it is among these; what was said to another pod, or before
a restart, is not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEPT = 64
"""Revisions of a model."""
_REMEMBERED = 32_768
"""Ids of a model that are known again at least; twice as many at most, which is about 10 MB."""


class Said(NamedTuple):
    """What became of the answer `id` of a revision: `reward` is from 0 to 1, and `label` whether it was right, if it is that."""

    id: str
    revision: str
    reward: float
    label: bool | None


class Taken(NamedTuple):
    """How many answers were counted, and how many were not, because their id had come before."""

    counted: int
    repeated: int


class Counts:
    """What was said of a revision: `labelled` of `count` were right or wrong, which are rewards of 1 and 0, too."""

    __slots__ = ("correct", "count", "labelled", "reward_squares", "reward_sum")

    def __init__(self) -> None:
        self.count = self.labelled = self.correct = 0
        self.reward_sum = self.reward_squares = 0.0

    def add(self, reward: float, label: bool | None) -> None:
        """Count one answer."""
        self.count += 1
        self.labelled += label is not None
        self.correct += label is True
        self.reward_sum += reward
        self.reward_squares += reward * reward

    def to_json(self) -> dict[str, Any]:
        """What the management port says."""
        return {
            "count": self.count,
            "labelled": self.labelled,
            "correct": self.correct,
            "rewardSum": self.reward_sum,
            "rewardSquares": self.reward_squares,
        }


class Feedback:
    """What this process was told about one model; used from the event loop alone."""

    def __init__(self) -> None:
        self._revisions: dict[str, Counts] = {}
        self._fresh: set[str] = set()
        self._older: set[str] = set()

    def take(self, said: Iterable[Said]) -> Taken:
        """Count what was said, each answer once."""
        counted = repeated = 0
        for one in said:
            if one.id in self._fresh or one.id in self._older:
                repeated += 1
                continue
            counted += 1
            self._remember(one.id)
            self._of(one.revision).add(one.reward, one.label)
        return Taken(counted, repeated)

    def items(self) -> list[tuple[str, Counts]]:
        """Revisions and what was said of them, the latest last."""
        return list(self._revisions.items())

    def _remember(self, text: str) -> None:
        if len(self._fresh) >= _REMEMBERED:
            self._fresh, self._older = set(), self._fresh
        self._fresh.add(text)

    def _of(self, revision: str) -> Counts:
        counts = self._revisions.pop(revision, None) or Counts()
        if len(self._revisions) >= _KEPT:
            del self._revisions[next(iter(self._revisions))]
        self._revisions[revision] = counts
        return counts
