"""MLServer with a model class of its own kind, in the server's process (`parallel_workers` 0)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.serving.models import OUTPUT
from benchmarks.serving.peers.protocol import Running
from benchmarks.serving.peers.repository import load, place
from benchmarks.serving.process import ServerProcess, free_port

if TYPE_CHECKING:
    from benchmarks.serving.environments import Environment
    from benchmarks.serving.models import Model

PACKAGE, RELEASE = "mlserver", "1.7.1"
_MODEL = Path(__file__).parents[1] / "inside" / "mlserver_model.py"


class MLServer:
    """`mlserver start`."""

    name = "mlserver"
    title = f"MLServer {RELEASE}"
    binary = False
    reloading = "new file in the repository, then POST /v2/repository/models/{model}/load"

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def start(self, model: Model, work: Path, core: int) -> Running:
        """See `Server.start`."""
        port = free_port()
        settings = {
            # debug is its default, and logs every request.
            "debug": False,
            "parallel_workers": 0,
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "environments_dir": str(work / "environments"),
        }
        folder = work / model.name
        folder.mkdir()
        (work / "settings.json").write_text(json.dumps(settings))
        extra = {"input": model.input, "output": OUTPUT}
        described = {
            "name": model.name,
            "implementation": "mlserver_model.OnnxModel",
            "parameters": {"uri": "./model.onnx", "extra": extra},
        }
        (folder / "model-settings.json").write_text(json.dumps(described))
        shutil.copy(_MODEL, folder)
        place(model, "v1", folder / "model.onnx")
        command = [str(self._environment.folder / "bin" / "mlserver"), "start", str(work)]
        process = ServerProcess(command, core, work / "server.log", {"PYTHONPATH": str(folder)})
        process.wait_ready(port, f"/v2/models/{model.name}/ready")

        def reload(version: str) -> None:
            place(model, version, folder / "model.onnx")
            load(model, port)

        return Running(process, port, f"/v2/models/{model.name}/infer", reload)
