"""Triton's Python backend: tritonserver and the backend as the nvidia-pytriton wheel brings them, and nothing else of Triton.

What is measured is Triton's HTTP and gRPC front ends with a model in Python behind it; its native onnxruntime backend is not in the
wheel and would be faster.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.serving.models import OUTPUT
from benchmarks.serving.peers.protocol import Running
from benchmarks.serving.peers.repository import load, place
from benchmarks.serving.process import ServerProcess, free_port

if TYPE_CHECKING:
    from benchmarks.serving.environments import Environment
    from benchmarks.serving.models import Model

PACKAGE, RELEASE = "nvidia-pytriton", "0.7.0"
_MODEL = Path(__file__).parents[1] / "inside" / "triton_model.py"
_CONFIG = """name: "{name}"
backend: "python"
max_batch_size: 0
input [ {{ name: "{input}" data_type: TYPE_FP32 dims: [ -1, {inputs} ] }} ]
output [ {{ name: "{output}" data_type: TYPE_FP32 dims: [ -1, {outputs} ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""


class Triton:
    """`tritonserver` 2.51 with explicit model control."""

    name = "triton"
    title = "Triton 2.51, Python backend"
    binary = True
    reloading = "new file in the repository, then POST /v2/repository/models/{model}/load"

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def start(self, model: Model, work: Path, core: int) -> Running:
        """See `Server.start`."""
        packages = self._environment.packages
        wheel = packages / "pytriton" / "tritonserver"
        backends, repository = work / "backends", work / "repository"
        shutil.copytree(wheel / "backends" / "python", backends / "python")
        stubs = wheel / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
        shutil.copy(stubs / "triton_python_backend_stub", backends / "python")
        path = _repository(repository, model)
        place(model, "v1", path)
        port, grpc = free_port(), free_port()
        command = [
            *(str(wheel / "bin" / "tritonserver"), "--model-repository", str(repository)),
            *("--backend-directory", str(backends), "--model-control-mode=explicit", f"--load-model={model.name}"),
            *("--http-address=127.0.0.1", f"--http-port={port}", "--allow-metrics=false"),
            *("--grpc-address=127.0.0.1", f"--grpc-port={grpc}"),
        ]
        # The stub is linked against libpython, which an interpreter from elsewhere than the distribution has to lend.
        libraries = [str(packages / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR"))]
        variables = {
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "PYTHONPATH": str(packages),
            "PATH": os.pathsep.join([str(self._environment.python.parent), os.environ["PATH"]]),
        }
        process = ServerProcess(command, core, work / "server.log", variables)
        process.wait_ready(port, f"/v2/models/{model.name}/ready")

        def reload(version: str) -> None:
            place(model, version, path)
            load(model, port)

        return Running(process, port, f"/v2/models/{model.name}/infer", reload, grpc)


def _repository(folder: Path, model: Model) -> Path:
    """Make Triton's model repository with one model in it, and return where its ONNX file goes."""
    version = folder / model.name / "1"
    version.mkdir(parents=True)
    shutil.copy(_MODEL, version / "model.py")
    config = _CONFIG.format(
        name=model.name, input=model.input, inputs=len(model.row), output=OUTPUT, outputs=model.outputs
    )
    (folder / model.name / "config.pbtxt").write_text(config)
    return version / "model.onnx"
