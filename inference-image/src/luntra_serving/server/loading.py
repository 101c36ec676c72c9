"""What the swapper calls to bring a target into memory: fetch, verify, load, self-test.

Runs on a thread of its own and may block. Transient failures are tried again after each of the given waits; permanent
ones end the load at once. What comes of it, the swapper's ledger says.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luntra_serving.artifacts.cache import BundleCache
from luntra_serving.artifacts.source import Source
from luntra_serving.backends.registry import load_model
from luntra_serving.bundle.samples import read_samples
from luntra_serving.bundle.verify import Bundle, verify_folder
from luntra_serving.errors import TransientLoadError
from luntra_serving.server.document import Document, Target
from luntra_serving.server.model import ReadyModel
from luntra_serving.swap.budget import Size

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_serving.server.settings import Settings
    from luntra_serving.swap.loading import Steps

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TargetLoader:
    """Loads one target; a `swap.loading.Loader` of ready models. `threads` is the cores for one inference."""

    settings: Settings
    target: Target
    threads: int
    sleep: Callable[[float], object] = time.sleep

    def __call__(self, steps: Steps) -> tuple[ReadyModel, Size]:
        """Return the model and its size: the bytes of its files, for want of a better measure."""
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
        with steps("fetch"):
            bundle = self._obtain()
        with steps("load"):
            model = ReadyModel(bundle.manifest, load_model(bundle, threads=self.threads))
        try:
            with steps("self-test"):
                model.self_test(read_samples(bundle.samples, bundle.manifest.interface))
        except BaseException:
            model.loaded.close()
            raise
        return model, Size(host=sum(entry.size for entry in bundle.manifest.files))

    def _obtain(self) -> Bundle:
        if self.settings.bundle is not None:
            return verify_folder(self.settings.bundle, self.target.digest)
        return BundleCache(self.settings.cache_dir).obtain(Source(self.target.uri), self.target.digest)


def document_of(folder: Bundle) -> Document:
    """Return the document that a laptop's `luntra-serve FOLDER` stands for."""
    manifest = folder.manifest
    target = Target(version=manifest.version, uri=folder.folder.resolve().as_uri(), digest=folder.digest)
    return Document(generation=0, model=manifest.name, stable=target)
