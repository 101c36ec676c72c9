"""Bring the swapper to what the document says, and keep it there: level-triggered, idempotent, never blocking.

Each document has a generation. A lower one is refused, and so is another document under the same number. Whatever is
loaded already is used as it is; what the document no longer names is let go, except the version before the stable one,
which the swapper keeps if memory allows, so that going back needs no load.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from luntra_serving.swap.loading import LoadFailedError
from luntra_serving.swap.states import State
from luntra_serving.swap.version import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_serving.server.document import Candidate, Document, Target
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.swap.loading import Loader
    from luntra_serving.swap.swapper import Swapper


class StaleDocumentError(Exception):
    """The document is older than the one that is followed, or another one under the same generation."""


class Desired:
    """The document that is followed.

    `loader` makes the swapper's loader for a target, `pod` is this pod's name. `changed` is called when a load has ended and
    what follows from that is done; on any thread.
    """

    def __init__(
        self,
        document: Document,
        swapper: Swapper[ReadyModel],
        loader: Callable[[Target], Loader[ReadyModel]],
        pod: str = "",
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self.document = document
        self._swapper, self._loader, self._pod, self._changed = swapper, loader, pod, changed
        self._failed: dict[Identity, LoadFailedError] = {}
        self._stopped = False
        self._lock = threading.RLock()

    def follow(self, document: Document) -> bool:
        """Follow another document from now on; False if it is the one that is followed. Raises StaleDocumentError."""
        with self._lock:
            known = self.document
            if document == known:
                return False
            if document.generation <= known.generation:
                what = "is older than" if document.generation < known.generation else "differs from"
                raise StaleDocumentError(
                    f"generation {document.generation} {what} the document that is followed, which has generation "
                    f"{known.generation}; read it, and send one with a higher number"
                )
            self.document = document
            self._failed.clear()
            self.step()
        return True

    def step(self) -> None:
        """Do whatever can be done now; called again when a load ends."""
        with self._lock:
            if self._stopped:
                return
            stable, candidate = self.document.stable, self._own_candidate()
            session = self.document.session.rule if self.document.session else None
            self._let_go({identity_of(target) for target in (stable, candidate) if target is not None})
            if not self._loaded(stable):
                return  # which comes before a candidate, for memory too
            if candidate is None or not self._loaded(candidate):
                self._swapper.promote(identity_of(stable), session=session)
                return
            self._swapper.promote(identity_of(stable), session=session, alone=False)
            weight, shadow = candidate.weight, candidate.shadow
            self._swapper.split(identity_of(candidate), weight, session=session, shadow=shadow)

    @property
    def failure(self) -> LoadFailedError | None:
        """Why the stable version of the document cannot be loaded."""
        return self._failed.get(identity_of(self.document.stable))

    def stop(self) -> None:
        """Want nothing any more."""
        with self._lock:
            self._stopped = True
            self._swapper.unload()

    def _own_candidate(self) -> Candidate | None:
        """The candidate, if this pod is one of those that are to serve it."""
        candidate = self.document.candidate
        if candidate is None or identity_of(candidate) == identity_of(self.document.stable):
            return None
        return candidate if candidate.pods is None or self._pod in candidate.pods else None

    def _let_go(self, wanted: set[Identity]) -> None:
        for identity, status in self._swapper.statuses().items():
            if identity in wanted:
                continue
            if status.state is State.LOADING:
                self._swapper.supersede(identity)
            elif status.state is State.READY and identity not in self._swapper.needed:
                self._swapper.retire(identity)

    def _loaded(self, target: Target) -> bool:
        identity = identity_of(target)
        if identity in self._failed:
            return False
        load = self._swapper.load(identity, self._loader(target))
        if load.outcome.done():
            return load.outcome.exception() is None
        load.outcome.add_done_callback(lambda outcome: self._ended(identity, outcome.exception()))
        return False

    def _ended(self, identity: Identity, problem: BaseException | None) -> None:
        with self._lock:
            if isinstance(problem, LoadFailedError):
                self._failed[identity] = problem
            self.step()
        self._changed()


def identity_of(target: Target) -> Identity:
    """What the swapper knows a target by."""
    return Identity(target.version, target.digest, target.revision)
