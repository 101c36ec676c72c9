"""The model as KServe's Python server runs it, and the server's program, with KServe's Python environment."""

import argparse
import logging

import onnxruntime as ort
from kserve import InferOutput, InferResponse, Model, ModelServer, model_server
from kserve import logging as kserve_logging
from kserve.model_repository import ModelRepository
from kserve.utils.utils import generate_uuid


class OnnxModel(Model):
    """One onnxruntime session with one thread."""

    def __init__(self, name: str, path: str, source: str, output: str) -> None:
        super().__init__(name)
        self.path, self.source, self.output = path, source, output

    def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None, response_headers=None):
        array = payload.inputs[0].as_numpy()
        result = self.session.run([self.output], {self.source: array})[0]
        output = InferOutput(self.output, list(result.shape), "FP32")
        output.set_data_from_numpy(result, binary_data=payload.use_binary_outputs)
        return InferResponse(
            payload.id or generate_uuid(),
            self.name,
            [output],
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


class Repository(ModelRepository):
    """Loads the one model from its file, as the repositories of KServe's own runtimes do."""

    def __init__(self, make) -> None:
        super().__init__()
        self.make = make

    async def load(self, name: str) -> bool:
        model = self.make(name)
        model.load()
        self.update(model)
        return model.ready


parser = argparse.ArgumentParser(parents=[model_server.parser])
parser.add_argument("--path", required=True)
parser.add_argument("--input", required=True)
parser.add_argument("--output", required=True)
args = parser.parse_args()
kserve_logging.configure_logging(args.log_config_file)
logging.getLogger("uvicorn.access").disabled = True  # nobody else logs every request here


def make(name: str) -> OnnxModel:
    return OnnxModel(name, args.path, args.input, args.output)


repository = Repository(make)
first = make(args.model_name)
first.load()
ModelServer(workers=1, registered_models=repository).start([first])
