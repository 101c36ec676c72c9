"""The model as MLServer runs it, with MLServer's Python environment."""

import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri


class OnnxModel(MLModel):
    """One onnxruntime session with one thread."""

    async def load(self) -> bool:
        extra = self.settings.parameters.extra
        self.input, self.output = extra["input"], extra["output"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = await get_model_uri(self.settings)
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        array = NumpyCodec.decode_input(payload.inputs[0])
        result = self.session.run([self.output], {self.input: array})[0]
        outputs = [NumpyCodec.encode_output(self.output, result)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
