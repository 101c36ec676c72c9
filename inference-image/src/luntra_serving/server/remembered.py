"""The last document of each model that was sent to this pod, kept beside the bundles, so that a restarted container does not go back.

The mounted document may lag behind by a minute. The higher generation of the two counts. A document is written after
whoever sent it has an answer, by a thread of its own: a disk must not hold up a rollback.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from luntra_serving.errors import PermanentLoadError
from luntra_serving.server.document import Document, read_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)
_FOLDER = "documents"


def remember(cache: Path, document: Document) -> None:
    """Keep `document`; a disk that refuses is told in the log, for the document is followed all the same."""
    place = _place(cache, document.model)
    unfinished = place.with_suffix(f".{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(document.model_dump_json())
        unfinished.replace(place)
    except OSError as error:
        fix = "make room in the cache volume; until then a restart begins with the mounted document"
        _log.warning("the document could not be kept", extra={"why": str(error), "fix": fix})


def forget(cache: Path, model: str) -> None:
    """Keep no document of `model` any more."""
    _place(cache, model).unlink(missing_ok=True)


def latest(mounted: Sequence[Document], cache: Path) -> list[Document]:
    """Return the documents to start with: for each mounted one itself or a newer one, then those of further models."""
    kept = {document.model: document for document in _read_all(cache)}
    first = [max(one, kept.pop(one.model, one), key=lambda document: document.generation) for one in mounted]
    return [*first, *kept.values()]


def _read_all(cache: Path) -> Iterator[Document]:
    for path in sorted((cache / _FOLDER).glob("*.json")):
        try:
            yield read_document(path)
        except PermanentLoadError as error:
            _log.warning("a document that was kept is of no use; the mounted one counts", extra={"why": error.message})


def _place(cache: Path, model: str) -> Path:
    return cache / _FOLDER / f"{model}.json"
