"""Divide the chance of a false rollback among the tests of one rollout.

`alpha` is that of a whole rollout: the chance that a candidate that keeps all its limits is taken back all the same, over all its
metrics, steps and looks together. Looks and steps cost nothing, as each metric is one process from the first step to the end of the
soak, valid whenever one looks. All limits of a metric (`most`, `increase`, `ratio`) are one test (`proportions`). So there are as
many tests as metrics, and each gets an equal part (Bonferroni): the sum of their chances is at most alpha, however the metrics
depend on one another. Bounds on single values (`series`) are no tests and get none.

The number of metrics is that of the rollout's beginning: one that is added in its middle has to wait for the next rollout, as the
parts that were given cannot be taken back.
"""


def part(alpha: float, metrics: int) -> float:
    """The alpha of each of so many metrics.

    Raises:
        ValueError: an alpha outside of 0..1, or no metric.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha:g} must be between 0 and 1")
    if metrics < 1:
        raise ValueError(f"{metrics} metrics: there must be at least 1")
    return alpha / metrics
