"""KServe's Python model server with one worker.

Its repository API calls a model repository that the author of a runtime writes; KServe's own runtimes write one. So does
ours here: `load` makes a new model and puts it in the old one's place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.serving.models import OUTPUT
from benchmarks.serving.peers.protocol import Running
from benchmarks.serving.peers.repository import load, place
from benchmarks.serving.process import ServerProcess, free_port

if TYPE_CHECKING:
    from benchmarks.serving.environments import Environment
    from benchmarks.serving.models import Model

PACKAGE, RELEASE = "kserve", "0.21.0"
_PROGRAM = Path(__file__).parents[1] / "inside" / "kserve_server.py"


class KServe:
    """`kserve.ModelServer`."""

    name = "kserve"
    title = f"KServe {RELEASE}, Python server"
    binary = True
    reloading = "new file, then POST /v2/repository/models/{model}/load on a repository that the runtime's author wrote"

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def start(self, model: Model, work: Path, core: int) -> Running:
        """See `Server.start`."""
        port = free_port()
        place(model, "v1", work / "model.onnx")
        command = [
            *(str(self._environment.python), str(_PROGRAM), "--model_name", model.name),
            *("--path", str(work / "model.onnx"), "--input", model.input, "--output", OUTPUT),
            *("--http_port", str(port), "--enable_grpc", "false", "--enable_latency_logging", "false"),
        ]
        process = ServerProcess(command, core, work / "server.log")
        process.wait_ready(port, f"/v2/models/{model.name}/ready")

        def reload(version: str) -> None:
            place(model, version, work / "model.onnx")
            load(model, port)

        return Running(process, port, f"/v2/models/{model.name}/infer", reload)
