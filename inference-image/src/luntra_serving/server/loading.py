"""Bring the document's stable version to the point of answering: fetch, verify, load, self-test, publish.

Runs on a thread of its own and may block. Transient failures are tried again after each of the given waits;
permanent ones end the attempt at once. It decides nothing about the process: the caller exits, or does not.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luntra_serving.artifacts.cache import BundleCache
from luntra_serving.artifacts.source import Source, without_password
from luntra_serving.backends.registry import load_model
from luntra_serving.bundle.samples import read_samples
from luntra_serving.bundle.verify import Bundle, verify_folder
from luntra_serving.errors import LoadError, PermanentLoadError, TransientLoadError
from luntra_serving.server.document import Document, Target
from luntra_serving.server.model import ReadyModel
from luntra_serving.swap.route import RouteSlot, Served
from luntra_serving.swap.versions import State, VersionBoard, VersionStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luntra_serving.server.settings import Settings
    from luntra_serving.telemetry.metrics import ServingMetrics

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loading:
    """What loading needs and what it writes to."""

    settings: Settings
    document: Document
    threads: int
    board: VersionBoard
    slot: RouteSlot[ReadyModel]
    metrics: ServingMetrics
    sleep: Callable[[float], object] = time.sleep

    def run(self) -> LoadError | None:
        """Load and publish the stable version; return why that was not possible, or None."""
        target = self.document.stable
        self.board.put(VersionStatus(target.version, target.digest, without_password(target.uri), target.revision))
        if self.document.candidate is not None:
            _log.warning(
                "the document names a candidate, which this server does not serve; it serves the stable version",
                extra={"candidate": self.document.candidate.get("version"), "fix": "use an image with hot swap"},
            )
        try:
            served = self._with_retries(target)
        except LoadError as error:
            self.board.move(target.version, State.FAILED, reason=error.reason, message=error.message)
            return error
        self.slot.publish(served)
        self.board.move(target.version, State.READY)
        _log.info(
            "version is ready",
            extra={
                "model": self.document.model,
                "version": target.version,
                "digest": target.digest,
                "seconds": dict(self.board.read()[target.version].stages),
            },
        )
        return None

    def _with_retries(self, target: Target) -> Served[ReadyModel]:
        for delay in self.settings.retry_delays:
            try:
                return self._attempt(target)
            except TransientLoadError as error:
                extra = {"reason": error.reason, "why": error.message, "again_in_seconds": delay}
                _log.warning("version cannot be loaded yet", extra=extra)
                self.board.move(target.version, State.LOADING, reason=error.reason, message=error.message)
                self.sleep(delay)
        return self._attempt(target)

    def _attempt(self, target: Target) -> Served[ReadyModel]:
        with self._stage(target, "fetch"):
            bundle = self._obtain(target)
        with self._stage(target, "load"):
            model = ReadyModel(bundle.manifest, load_model(bundle, threads=self.threads))
        try:
            with self._stage(target, "self-test"):
                model.self_test(read_samples(bundle.samples, bundle.manifest.interface))
        except PermanentLoadError:
            model.loaded.close()
            raise
        return Served(target.version, target.digest, model, target.revision)

    def _obtain(self, target: Target) -> Bundle:
        if self.settings.bundle is not None:
            return verify_folder(self.settings.bundle, target.digest)
        return BundleCache(self.settings.cache_dir).obtain(Source(target.uri), target.digest)

    @contextmanager
    def _stage(self, target: Target, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        seconds = round(time.monotonic() - start, 4)
        self.board.stage(target.version, name, seconds)
        self.metrics.loaded(self.document.model, target.version, name, seconds)


def document_of(folder: Bundle) -> Document:
    """Return the document that a laptop's `luntra-serve FOLDER` stands for."""
    manifest = folder.manifest
    target = Target(version=manifest.version, uri=folder.folder.resolve().as_uri(), digest=folder.digest)
    return Document(generation=0, model=manifest.name, stable=target)
