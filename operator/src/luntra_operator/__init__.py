"""Kubernetes operator that replaces the model behind an inference endpoint without downtime."""
