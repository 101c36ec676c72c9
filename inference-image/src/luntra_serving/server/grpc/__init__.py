"""The Open Inference Protocol v2 over gRPC: the same data plane on a port of its own. The only importer of grpc and protobuf."""
