"""The process: watches (kopf is imported here only), leader election, health and metrics."""
