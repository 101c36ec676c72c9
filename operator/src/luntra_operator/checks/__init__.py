"""The checks of a candidate, run as Jobs before its first user request: `luntra-check`.

A Job of the operator's own image reads what to do from the environment (`config`), drives the candidate with the client
that users have (`triton`), and leaves its verdict in the termination message (`report`), where the operator reads it.
It neither knows of Kubernetes nor decides what follows from a verdict.
"""
