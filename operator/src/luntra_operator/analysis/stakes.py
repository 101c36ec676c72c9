"""A stake that is divided among bets, of which one is held back: what it becomes is evidence at every look.

Each bet's evidence multiplies its share; the mean of the whole, if there is nothing to find, is 1 at all times, and it reaches
1/alpha with a chance of at most alpha (Ville's inequality). Nobody knows when a candidate turns bad, and after many good looks all
shares that were bet on a bad one are lost. So one share is a reserve, of which a little is bet at each look, the less the later.
"""

from dataclasses import dataclass, replace

import numpy as np

from .evariable import Floats

_RESERVE = 0.2
_HOLD_BACK = 60
"""In look t the part 0.5 / (t + 60) of the reserve is bet: a quarter of it is left after 900 looks."""


@dataclass(frozen=True, slots=True)
class Stakes:
    """Logs of what the shares have become, in the last axis: bets that the reserve feeds, others, the reserve.

    `first` is the log of the whole at the beginning: another process's end where that was interrupted, else 0.
    """

    logs: Floats
    fed: int
    first: float = 0.0
    looks: int = 0

    @staticmethod
    def start(fed: int, others: int = 0, first: float = 0.0, shape: tuple[int, ...] = ()) -> "Stakes":
        """Divide a stake; for many tests at once with a `shape`."""
        bets = fed + others
        logs = np.log(np.append(np.full(bets, (1 - _RESERVE) / bets), _RESERVE))
        return Stakes(np.broadcast_to(logs, (*shape, bets + 1)), fed, first)

    def after(self, found: Floats) -> "Stakes":
        """The same after a look that multiplies the bets' shares by exp(found)."""
        part = 0.5 / (self.looks + _HOLD_BACK)
        logs = self.logs.copy()
        logs[..., : self.fed] = np.logaddexp(logs[..., : self.fed], logs[..., -1:] + np.log(part / self.fed))
        logs[..., -1] += np.log1p(-part)
        logs[..., :-1] += found
        return replace(self, logs=logs, looks=self.looks + 1)

    @property
    def log(self) -> Floats:
        """Natural log of the whole: the evidence; ln(1/alpha) is as much as refuses at that alpha."""
        top = self.logs.max(axis=-1)
        return np.asarray(self.first + top + np.log(np.exp(self.logs - top[..., None]).sum(axis=-1)))
