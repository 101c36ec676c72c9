"""What scenarios ask of live traffic: `spec.rollout.analysis`."""

from typing import Any

ERRORS = {"name": "errors", "errorRate": {}, "maxIncrease": 0.01}
FAILED = """
sum(rate(luntra_inference_requests_total{namespace="{{ namespace }}", workload="{{ workload }}", code="500"}[{{ window }}]))
  / sum(rate(luntra_inference_requests_total{namespace="{{ namespace }}", workload="{{ workload }}"}[{{ window }}]))
"""
"""The share of failed requests as a query; of requests that nobody made it is NaN."""


def judged(*metrics: dict[str, Any], interval: str = "1s") -> dict[str, Any]:
    """The analysis of these metrics."""
    return {"interval": interval, "metrics": list(metrics)}
