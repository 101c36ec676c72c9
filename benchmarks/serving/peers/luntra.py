"""Our own server as a pod runs it: by document, with metrics, admission, deadlines and logs on."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import dataclass
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
        launched = launch(model, work, core)
        generations = itertools.count(2)

        def reload(version: str) -> None:
            # The generation makes a new revision, so that nothing that is in memory can be used again.
            generation = next(generations)
            document = document_for(model, generation, version, f"r{generation}")
            reply = ask(launched.management, "PUT", f"/v1/models/{model.name}", json.dumps(document).encode())
            if reply.status != 200:
                raise HarnessError(f"the document was refused with {reply.status}: {reply.body[:300]!r}")

        return Running(launched.process, launched.port, f"/v2/models/{model.name}/infer", reload, launched.grpc)


@dataclass(frozen=True)
class Launched:
    """A server process and its ports."""

    process: ServerProcess
    port: int
    management: int
    grpc: int


def launch(model: Model, work: Path, core: int) -> Launched:
    """Serve version v1, revision r1, generation 1, from the empty folder `work`. Raises HarnessError."""
    port, management, grpc = free_port(), free_port(), free_port()
    document = work / "document.json"
    document.write_text(json.dumps(document_for(model, 1, "v1", "r1")))
    command = [
        str(Path(sys.executable).with_name("luntra-serve")),
        *("--document", str(document)),
        *("--cache-dir", str(work / "cache")),
        *("--http-port", str(port), "--management-port", str(management), "--grpc-port", str(grpc)),
        # The peers know no deadline and think with one core: so does ours here.
        *("--deadline", "30s", "--threads", "1", "--termination-delay", "0s", "--log-format", "json"),
    ]
    process = ServerProcess(command, core, work / "server.log")
    process.wait_ready(port, "/v2/health/ready")
    return Launched(process, port, management, grpc)


def document_for(model: Model, generation: int, version: str, revision: str) -> dict[str, Any]:
    """The workload's document that wants `version` alone."""
    chosen = model.versions[version]
    uri = chosen.folder.resolve().as_uri()
    target = {"version": version, "revision": revision, "uri": uri, "digest": chosen.digest}
    return {"generation": generation, "model": model.name, "stable": target}
