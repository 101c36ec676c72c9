"""Client of the inference pods' management API (inference-image/openapi/management.json), and the keys that it signs with."""
