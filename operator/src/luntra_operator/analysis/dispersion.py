"""How many requests fail together: measured of the stable version, as it is there all the time and is not on trial.

Of n requests k are bad; of independent ones (k - n p)^2 is n p (1 - p) on average. The ratio of the sums of both, over all looks, is how
many requests count as one (McCullagh and Nelder, "Generalized Linear Models", 1989, section 4.5). Groups that fail within one look show
at once; bad minutes show only where looks are taken together, so it is measured over blocks of 1, 8 and 64 looks, and the largest counts.

Evidence is divided by what was measured before a look, which makes it less and never more: whatever is found, the promise for
independent requests holds. It begins at a least value, which holds for as long as nothing has gone wrong yet.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from .evariable import Floats
from .evidence import Counts

_BLOCKS = (1, 8, 64)
_BEFORE = 2.0
"""Bad requests that the least value counts as, so that a single one does not make a dispersion."""


@dataclass(frozen=True, slots=True)
class _Block:
    """`excess` and `expected` are the two sums, of whole blocks of so many looks."""

    looks: int
    seen: int = 0
    counts: Counts = field(default_factory=Counts)
    excess: float | Floats = 0.0
    expected: float | Floats = 0.0

    def after(self, counts: Counts, share: Floats) -> "_Block":
        counts = self.counts + counts
        if self.seen + 1 < self.looks:
            return replace(self, seen=self.seen + 1, counts=counts)
        due = np.asarray(counts.total) * share
        excess, expected = self.excess + (np.asarray(counts.bad) - due) ** 2, self.expected + due * (1.0 - share)
        return _Block(self.looks, excess=excess, expected=expected)


@dataclass(frozen=True, slots=True)
class Dispersion:
    """What was seen of the stable version so far; arrays of counts are of many tests at once."""

    least: float
    total: Counts = field(default_factory=Counts)
    blocks: tuple[_Block, ...] = tuple(_Block(looks) for looks in _BLOCKS)

    def after(self, stable: Counts) -> "Dispersion":
        """The same after one more look."""
        total = self.total + stable
        return replace(self, total=total, blocks=tuple(block.after(stable, total.guess) for block in self.blocks))

    @property
    def value(self) -> Floats:
        """Requests that count as one."""
        found = np.asarray(self.least, dtype=float)
        for block in self.blocks:
            found = np.maximum(found, (_BEFORE * self.least + block.excess) / (_BEFORE + block.expected))
        return found
