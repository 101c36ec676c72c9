"""What scenarios ask of live traffic: `spec.rollout.analysis`."""

from typing import Any

ERRORS = {"name": "errors", "errorRate": {}, "maxIncrease": 0.01}
FAILED = """
(sum(rate(luntra_inference_requests_total{namespace="{{ namespace }}", workload="{{ workload }}", code="500"}[{{ window }}])) or vector(0))
  / sum(rate(luntra_inference_requests_total{namespace="{{ namespace }}", workload="{{ workload }}"}[{{ window }}]))
"""
"""The share of failed requests as a query; there is no series of a code before its first request, and of no requests at all it is NaN."""


def judged(*metrics: dict[str, Any], interval: str = "1s") -> dict[str, Any]:
    """The analysis of these metrics."""
    return {"interval": interval, "metrics": list(metrics)}
