"""The last words of a process that could not load its model: where Kubernetes looks for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luntra_serving.errors import LoadError
    from luntra_serving.swap.loading import LoadFailedError

_DEFAULT = "/dev/termination-log"
_MAX_BYTES = 4096


def write_termination(error: LoadError | LoadFailedError, environment: Mapping[str, str] = os.environ) -> None:
    """Write `Reason: message` to the termination message file, if there is one (LUNTRA_TERMINATION_LOG names another).

    The default file is only written where it exists, which is in a pod.
    """
    chosen = environment.get("LUNTRA_TERMINATION_LOG")
    path = Path(chosen or _DEFAULT)
    if chosen is None and not path.exists():
        return
    try:
        path.write_text(str(error).encode()[:_MAX_BYTES].decode(errors="ignore"))
    except OSError:
        return  # the same words are in the log; there is nobody left to tell
