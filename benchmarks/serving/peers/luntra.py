"""Our own server as a pod runs it: by document, with metrics, admission, deadlines and logs on."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.serving.peers.protocol import Running
from benchmarks.serving.process import ServerProcess, ask, free_port
from e2e.kind.errors import HarnessError
from luntra_serving import __version__

if TYPE_CHECKING:
    from benchmarks.serving.models import Model


class Luntra:
    """`luntra-serve`."""

    name = "luntra"
    title = f"Luntra {__version__}"
    binary = True
    reloading = "PUT of a document on the management port; loaded beside the old version"

    def start(self, model: Model, work: Path, core: int) -> Running:
        """See `Server.start`."""
        port, management = free_port(), free_port()
        document = work / "document.json"
        document.write_text(json.dumps(document_for(model, 1, "v1")))
        command = [
            str(Path(sys.executable).with_name("luntra-serve")),
            *("--document", str(document)),
            *("--cache-dir", str(work / "cache")),
            *("--http-port", str(port), "--management-port", str(management)),
            # The peers know no deadline and may think with one core: so may ours.
            *("--deadline", "30s", "--threads", "1", "--termination-delay", "0s", "--log-format", "json"),
        ]
        process = ServerProcess(command, core, work / "server.log")
        process.wait_ready(port, "/v2/health/ready")
        generations = itertools.count(2)

        def reload(version: str) -> None:
            put(model, management, next(generations), version)

        return Running(process, port, f"/v2/models/{model.name}/infer", reload)


def document_for(model: Model, generation: int, version: str, revision: str | None = None) -> dict[str, Any]:
    """The workload's document; without a `revision` the generation is in it, so that nothing in memory can be reused."""
    chosen = model.versions[version]
    target = {"version": version, "uri": chosen.folder.resolve().as_uri(), "digest": chosen.digest}
    target["revision"] = revision or f"r{generation}"
    return {"generation": generation, "model": model.name, "stable": target}


def put(model: Model, management: int, generation: int, version: str) -> None:
    """Tell the server to serve `version`. Raises HarnessError if it refuses."""
    body = json.dumps(document_for(model, generation, version)).encode()
    reply = ask(management, "PUT", f"/v1/models/{model.name}", body)
    if reply.status != 200:
        raise HarnessError(f"the document was refused with {reply.status}: {reply.body[:300]!r}")
