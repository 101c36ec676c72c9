"""The server process: Open Inference Protocol v2 over HTTP, read-only management, loading, and a clean end."""
