"""The Open Inference Protocol v2 over HTTP as pure functions: bytes in, tensors out, and back. No sockets, no models."""
