"""The shell around the engine: a work queue, live reads, and the writes that a plan asks for."""
