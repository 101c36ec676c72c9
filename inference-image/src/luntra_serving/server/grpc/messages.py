"""The messages and methods of open_inference.proto as Python classes, read from its compiled form.

They live in a descriptor pool of their own: in protobuf's default pool the names of the protocol can be registered once in a
process, and there they belong to whichever client library somebody imports. So this server can share a process with one.
Nothing is generated for one release of the protobuf library either.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "inference"

COMPILED: bytes = files(__package__).joinpath("open_inference.binpb").read_bytes()
"""A FileDescriptorSet, as protoc writes it."""

_pool = DescriptorPool()
for _file in FileDescriptorSet.FromString(COMPILED).file:
    _pool.Add(_file)

SERVICE = f"{_PACKAGE}.GRPCInferenceService"
REQUESTS: dict[str, Any] = {
    method.name: GetMessageClass(method.input_type) for method in _pool.FindServiceByName(SERVICE).methods
}
"""Method -> the class of its request."""


def _message(name: str) -> Any:
    return GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


ModelConfigResponse = _message("ModelConfigResponse")
ModelInferResponse = _message("ModelInferResponse")
ModelMetadataResponse = _message("ModelMetadataResponse")
ModelReadyResponse = _message("ModelReadyResponse")
ModelStatisticsResponse = _message("ModelStatisticsResponse")
ModelStreamInferResponse = _message("ModelStreamInferResponse")
RepositoryIndexResponse = _message("RepositoryIndexResponse")
ServerLiveResponse = _message("ServerLiveResponse")
ServerMetadataResponse = _message("ServerMetadataResponse")
ServerReadyResponse = _message("ServerReadyResponse")
