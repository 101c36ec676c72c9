"""What the swapper calls to bring a target into memory: fetch and verify, make room, load, warm up, self-test.

Runs on a thread of its own and may block. Transient failures are tried again after each of the given waits; permanent
ones end the load at once. What comes of it, the swapper's ledger says.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luntra_serving.artifacts.cache import BundleCache
from luntra_serving.artifacts.source import Source
from luntra_serving.backends.registry import loader_of
from luntra_serving.bundle.samples import read_samples
from luntra_serving.bundle.verify import Bundle, verify_folder
from luntra_serving.errors import TransientLoadError
from luntra_serving.server.document import Document, Target
from luntra_serving.server.model import ReadyModel
from luntra_serving.swap.states import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_serving.backends.protocol import Loader
    from luntra_serving.server.footprint import Footprints
    from luntra_serving.server.settings import Settings
    from luntra_serving.swap.budget import Size
    from luntra_serving.swap.loading import Steps

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TargetLoader:
    """Loads one target of `model`; a `swap.loading.Loader` of ready models. `threads` is the cores for one inference."""

    settings: Settings
    model: str
    target: Target
    threads: int
    footprints: Footprints
    sleep: Callable[[float], object] = time.sleep

    def __call__(self, steps: Steps) -> tuple[ReadyModel, Size]:
        """Return the model and its size as it was measured."""
        for delay in self.settings.retry_delays:
            try:
                return self._attempt(steps)
            except TransientLoadError as error:
                extra = {"reason": error.reason, "why": error.message, "again_in_seconds": delay}
                _log.warning("version cannot be loaded yet", extra=extra)
                steps.delayed(error.reason, error.message)
                self.sleep(delay)
        return self._attempt(steps)

    def _attempt(self, steps: Steps) -> tuple[ReadyModel, Size]:
        with steps(Stage.FETCH):
            bundle = self._obtain()
        files = bundle.manifest.total_bytes
        steps.reserve(self.footprints.expected(self.model, files))
        load = _import_loader(bundle.manifest.backend.name)  # here, so that its library is not counted as the model's
        with self.footprints.measure(self.model, files):
            model = self._load(steps, bundle, load)
        return model, self.footprints.expected(self.model, files)

    def _load(self, steps: Steps, bundle: Bundle, load: Loader) -> ReadyModel:
        with steps(Stage.LOAD):
            model = ReadyModel(bundle.manifest, load(bundle, threads=self.threads))
        try:
            samples, limit = read_samples(bundle.samples, bundle.manifest.interface), self.settings.self_test_limit
            with steps(Stage.WARM_UP, limit):
                model.warm_up(samples)
            with steps(Stage.SELF_TEST, limit):
                model.self_test(samples)
        except BaseException:
            model.loaded.close()
            raise
        return model

    def _obtain(self) -> Bundle:
        """A folder from the command line is used where it is; everything else goes through the cache."""
        for folder in self.settings.bundles:
            if folder.resolve().as_uri() == self.target.uri:
                return verify_folder(folder, self.target.digest)
        return BundleCache(self.settings.cache_dir).obtain(Source(self.target.uri), self.target.digest)


def _import_loader(backend: str) -> Loader:
    """Keep what a library brings with it out of the garbage collector's sight, for it stays as long as the process.

    A full collection would else stop every request: for 14 ms with onnxruntime in memory, for 70 ms with torch.
    """
    imported = len(sys.modules)
    load = loader_of(backend)
    if len(sys.modules) > imported:
        gc.freeze()
    return load


def document_of(folder: Bundle) -> Document:
    """Return the document that a laptop's `luntra-serve FOLDER` stands for."""
    manifest = folder.manifest
    target = Target(version=manifest.version, uri=folder.folder.resolve().as_uri(), digest=folder.digest)
    return Document(generation=0, model=manifest.name, stable=target)
