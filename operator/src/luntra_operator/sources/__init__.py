"""Metrics that Luntra does not measure itself, from Prometheus, a URL or a container of the user's."""
