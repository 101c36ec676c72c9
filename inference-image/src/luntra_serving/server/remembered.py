"""The last document that was sent to this pod, kept beside the bundles, so that a restarted container does not go back.

The mounted document may lag behind by a minute. The higher generation of the two counts.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from luntra_serving.errors import PermanentLoadError
from luntra_serving.server.document import Document, read_document

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)
_NAME = "document.json"


def remember(folder: Path, document: Document) -> None:
    """Keep `document`; a disk that refuses is told in the log, for the document is followed all the same."""
    unfinished = folder / f"{_NAME}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(document.model_dump_json())
        unfinished.replace(folder / _NAME)
    except OSError as error:
        fix = "make room in the cache volume; until then a restart begins with the mounted document"
        _log.warning("the document could not be kept", extra={"why": str(error), "fix": fix})


def latest(mounted: Document, folder: Path) -> Document:
    """Return the document to start with."""
    kept = folder / _NAME
    if not kept.exists():
        return mounted
    try:
        document = read_document(kept)
    except PermanentLoadError as error:
        _log.warning("the document that was kept is of no use; the mounted one is", extra={"why": error.message})
        return mounted
    newer = document.model == mounted.model and document.generation > mounted.generation
    return document if newer else mounted
