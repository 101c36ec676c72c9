"""Whole checks against real servers: what is sent, what is measured, and what comes of trouble on the way."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from luntra_operator.checks.benchmark import windows
from luntra_operator.checks.config import CheckConfig
from luntra_operator.checks.main import run
from luntra_operator.checks.tally import Tally, nearest_rank

if TYPE_CHECKING:
    from luntra_operator.checks.verdict import Verdict

Serve = Callable[..., Any]
Pinned = Callable[..., dict[str, str]]


def evaluation(candidate: Any, stable: Any, dataset: dict[str, str], **fields: Any) -> CheckConfig:
    block = {"dataset": dataset, "metric": "accuracy", "min": 0.9, "batchSize": 16, "timeout": "20s"} | fields
    return _config("evaluation", candidate, stable, evaluation=block)


def benchmark(candidate: Any, stable: Any = None, evaluation: Any = None, **fields: Any) -> CheckConfig:
    block = {"requests": 40, "concurrency": 4, "timeout": "20s"} | fields
    return _config("benchmark", candidate, stable, evaluation=evaluation, benchmark=block)


def _config(kind: str, candidate: Any, stable: Any, **blocks: Any) -> CheckConfig:
    document = {"kind": kind, "model": "digits", "candidate": url(candidate), **blocks}
    return CheckConfig.model_validate(document | {"stable": None if stable is None else url(stable)})


def url(server: Any) -> str:
    return server if isinstance(server, str) else str(server.url)


def closed_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def alone(verdict: Verdict, requests: int) -> bool:
    """Whether all that was missing was a stable version that fails, and the candidate got its requests without it.

    A busy machine leaves some of them unsent, of which the candidate may have a fifth.
    """
    measured = requests * 0.8 <= verdict.samples <= requests
    return verdict.stable_failed and measured and "; the candidate alone: " in verdict.message


def outcome(verdict: Verdict) -> tuple[str, str]:
    return verdict.verdict, verdict.reason


async def test_a_good_candidate_passes_and_every_sample_is_sent_once(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    server = serve()
    verdict = await run(evaluation(server, None, pinned(**onehot)))
    assert outcome(verdict) == ("Pass", "WithinBounds")
    assert (verdict.samples, verdict.candidate) == (40, {"accuracy": 1.0})
    assert [len(batch["x"]) for batch in server.seen] == [16, 16, 8]
    assert (np.concatenate([batch["x"] for batch in server.seen]) == onehot["x"]).all()


async def test_a_bad_candidate_fails_with_its_accuracy_and_the_stable_one(
    serve: Serve, pinned: Pinned, onehot: Any, model_of_scores: Any
) -> None:
    bad = serve(model_of_scores(4, wrong=lambda x: x[:, 0] == 1))
    verdict = await run(evaluation(bad, serve(), pinned(**onehot)))
    assert outcome(verdict) == ("Fail", "AccuracyBelowMinimum")
    assert verdict.message == "accuracy 0.75 of 40 samples is below min 0.9 (stable 1)"
    assert verdict.stable == {"accuracy": 1.0}


async def test_a_candidate_worse_than_stable_fails_though_above_the_minimum(
    serve: Serve, pinned: Pinned, onehot: Any, model_of_scores: Any
) -> None:
    worse = serve(model_of_scores(4, wrong=lambda x: x[:, 0] == 1))
    verdict = await run(evaluation(worse, serve(), pinned(**onehot), min=0.7, maxRegression=0.1))
    assert outcome(verdict) == ("Fail", "AccuracyRegressed")


async def test_a_model_that_names_its_classes_is_compared_by_name(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    names = np.array(["null", "één", "zwei", "trois"])
    server = serve(
        lambda inputs: {"label": names[inputs["x"].argmax(axis=1)].reshape(-1, 1)},
        outputs=[("label", "BYTES", [-1, 1])],
    )
    verdict = await run(evaluation(server, None, pinned(x=onehot["x"], labels=names[onehot["labels"]])))
    assert outcome(verdict) == ("Pass", "WithinBounds")


async def test_a_regression_is_measured_in_the_labels_unit(serve: Serve, pinned: Pinned) -> None:
    server = serve(
        lambda inputs: {"y": inputs["x"] + 2}, inputs=[("x", "FP32", [-1, 1])], outputs=[("y", "FP32", [-1, 1])]
    )
    x = np.arange(10.0)
    verdict = await run(evaluation(server, None, pinned(x=x.reshape(-1, 1), labels=x), metric="mae", min=None, max=1.5))
    assert outcome(verdict) == ("Fail", "MAEAboveMaximum")
    assert verdict.candidate == {"mae": 2.0}


async def test_a_candidate_that_answers_nan_never_passes(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    server = serve(lambda inputs: {"scores": np.where(inputs["x"][:, :1] == 1, np.nan, inputs["x"])})
    verdict = await run(evaluation(server, None, pinned(**onehot), min=0.0))
    assert outcome(verdict) == ("Fail", "NonFiniteOutput")
    assert "10 of 40" in verdict.message


async def test_a_candidate_that_is_not_ready_yet_is_waited_for(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    server = serve()
    server.metadata_status = lambda number: 503 if number < 2 else 200
    server.status = lambda number: 503 if number == 1 else 200
    assert outcome(await run(evaluation(server, None, pinned(**onehot)))) == ("Pass", "WithinBounds")


async def test_one_lost_answer_does_not_condemn_a_model(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    server = serve()
    server.status = lambda number: 504 if number == 1 else 200
    assert outcome(await run(evaluation(server, None, pinned(**onehot)))) == ("Pass", "WithinBounds")


async def test_a_candidate_that_keeps_failing_fails_with_its_own_words(
    serve: Serve, pinned: Pinned, onehot: Any
) -> None:
    server = serve()
    server.status = lambda number: 500 if number > 0 else 200
    verdict = await run(evaluation(server, None, pinned(**onehot)))
    assert outcome(verdict) == ("Fail", "RequestsFailed")
    assert "answered 500: injected 500" in verdict.message
    assert "sample 16 of 40" in verdict.message


async def test_a_candidate_that_is_never_there_is_an_error_after_the_timeout(pinned: Pinned, onehot: Any) -> None:
    verdict = await run(evaluation(closed_port(), None, pinned(**onehot), timeout="500ms"))
    assert outcome(verdict) == ("Error", "CandidateUnavailable")
    assert "cannot be reached" in verdict.message


async def test_a_candidate_that_hangs_is_an_error_after_the_timeout(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    server = serve()
    server.delay = 2.0
    begin = time.monotonic()
    verdict = await run(evaluation(server, None, pinned(**onehot), timeout="400ms"))
    assert outcome(verdict) == ("Error", "TimedOut")
    assert "sample 0 of 40" in verdict.message
    assert time.monotonic() - begin < 1.9


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"min": None, "maxRegression": 0.01}, ("NoData", "StableUnavailable")),
        ({"min": 0.9}, ("Pass", "WithinBounds")),
    ],
)
async def test_a_stable_version_that_is_gone_leaves_only_the_relative_bound_undecided(
    serve: Serve, pinned: Pinned, onehot: Any, fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    verdict = await run(evaluation(serve(), closed_port(), pinned(**onehot), timeout="1s", **fields))
    assert outcome(verdict) == expected
    assert not verdict.stable_failed


async def test_an_evaluation_with_a_bound_of_its_own_says_that_only_stable_is_missing(
    serve: Serve, pinned: Pinned, onehot: Any
) -> None:
    verdict = await run(evaluation(serve(), closed_port(), pinned(**onehot), timeout="1s", maxRegression=0.01))
    assert outcome(verdict) == ("NoData", "StableUnavailable")
    assert alone(verdict, 40)


async def test_a_stable_version_with_other_inputs_cannot_be_compared(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    other = serve(inputs=[("pixels", "FP32", [-1, 4])])
    verdict = await run(evaluation(serve(), other, pinned(**onehot), maxRegression=0.01))
    assert outcome(verdict) == ("NoData", "StableUnavailable")
    assert "pixels" in verdict.message
    assert not verdict.stable_failed, "nothing is wrong with it"


async def test_a_set_that_does_not_fit_the_candidate_is_an_error(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    verdict = await run(evaluation(serve(), None, pinned(pixels=onehot["x"], labels=onehot["labels"])))
    assert outcome(verdict) == ("Error", "DatasetMismatch")


async def test_a_changed_set_is_refused_before_anything_is_sent(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    server = serve()
    dataset = pinned(**onehot) | {"digest": "sha256:" + "0" * 64}
    assert outcome(await run(evaluation(server, None, dataset))) == ("Error", "DatasetDigestMismatch")
    assert server.metadata_requests == 0


async def test_a_model_without_the_protocol_is_refused(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    server = serve()
    server.metadata = {"hello": "world"}
    verdict = await run(evaluation(server, None, pinned(**onehot)))
    assert outcome(verdict) == ("Fail", "RequestsFailed")
    assert "unreadable metadata" in verdict.message


async def test_a_fast_candidate_passes_and_exactly_the_declared_requests_are_counted(serve: Serve) -> None:
    server = serve()
    verdict = await run(benchmark(server, maxP99="2s", minThroughput=1))
    assert outcome(verdict) == ("Pass", "WithinBounds")
    assert verdict.samples == 40
    assert verdict.candidate.keys() == {"p50Ms", "p99Ms", "throughput", "errorRate"}
    assert len(server.seen) == 40 + 20 + 4, "measured, warm-up, one uncounted per connection"
    assert all(batch["x"].shape == (1, 4) for batch in server.seen)


async def test_a_twice_as_slow_candidate_fails_against_stable_and_says_what_it_saw(serve: Serve) -> None:
    slow, stable = serve(), serve()
    slow.delay, stable.delay = 0.04, 0.02
    verdict = await run(benchmark(slow, stable, rate=60, requests=40, maxP50Ratio=1.4))
    assert outcome(verdict) == ("Fail", "P50AboveRatio")
    assert "times stable's" in verdict.message
    assert verdict.stable is not None
    assert verdict.candidate["p50Ms"] > 1.4 * verdict.stable["p50Ms"] >= 28
    assert verdict.log[-1].startswith(("candidate, window 40: p50 ", "stable, window 40: p50 "))


async def test_an_identical_version_passes_beside_stable(serve: Serve) -> None:
    stable = serve()
    stable.delay = 0.02
    fields = {"maxP50Ratio": 1.3, "maxP99Ratio": 1.5, "minThroughputRatio": 0.7}
    verdict = await run(benchmark(stable, stable, rate=60, requests=40, concurrency=16, **fields))
    assert outcome(verdict) == ("Pass", "WithinBounds")
    assert "p50 ratio " in verdict.message


async def test_a_candidate_that_does_not_bear_the_rate_fails(serve: Serve) -> None:
    slow = serve()
    slow.delay = 0.1
    verdict = await run(benchmark(slow, None, rate=60, requests=10, concurrency=1))
    assert outcome(verdict) == ("Fail", "RateNotBorne")
    assert "rate is 60/s; measured twice" in verdict.message


async def test_measuring_again_leaves_stable_and_what_was_found_of_it_alone(serve: Serve) -> None:
    """Breaks if a bound that is not about stable costs it more requests, or its pairs are judged twice."""
    candidate, stable = serve(), serve()
    candidate.delay = stable.delay = 0.02
    verdict = await run(
        benchmark(candidate, stable, rate=100, requests=20, concurrency=16, maxP50Ratio=3, maxP99="10ms")
    )
    assert outcome(verdict) == ("Fail", "P99AboveMaximum")
    assert verdict.message.endswith("measured twice")
    assert len(candidate.seen) == 20 + 2 * (20 * 2 + 20)
    assert [line.partition(",")[0] for line in verdict.log] == ["candidate"] * 20, "these are the windows of the second"


async def test_a_stable_version_that_does_not_bear_the_rate_is_left_alone_and_the_candidate_measured(
    serve: Serve,
) -> None:
    candidate, stable = serve(), serve()
    stable.delay = 0.1
    verdict = await run(benchmark(candidate, stable, rate=100, requests=400, concurrency=2, maxP50Ratio=2))
    assert outcome(verdict) == ("NoData", "StableOverloaded")
    assert "rate is 100/s and was left alone (to have it compared with, lower benchmark.rate" in verdict.message
    assert len(stable.seen) < 60, "20 before, then three windows of what it bears"
    assert alone(verdict, 400)


async def test_stable_is_left_alone_when_it_begins_to_fail(serve: Serve) -> None:
    candidate, stable = serve(), serve()
    stable.delay = 0.01
    stable.status = lambda number: 503 if number > 60 else 200
    verdict = await run(benchmark(candidate, stable, rate=50, requests=200, maxP50Ratio=2))
    assert outcome(verdict) == ("NoData", "StableDisturbed")
    assert "injected 503" in verdict.message
    assert len(stable.seen) < 61 + 2 * 12
    assert alone(verdict, 200)


@pytest.mark.parametrize(
    ("trouble", "fields", "reason"),
    [
        ({"status": lambda number: 500 if number == 300 else 200}, {}, "ErrorRateAboveMaximum"),
        ({"delay": 0.1}, {}, "RateNotBorne"),
        ({"delay": 0.015}, {"maxP99": "10ms"}, "P99AboveMaximum"),
    ],
)
async def test_a_candidate_that_fails_as_well_is_failed(
    serve: Serve, trouble: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    """Breaks if a stable version that fails excuses a candidate that fails too, even after stable was left alone."""
    candidate, stable = serve(), serve()
    for name, value in trouble.items():
        setattr(candidate, name, value)
    stable.delay = 0.1
    verdict = await run(benchmark(candidate, stable, rate=100, requests=400, concurrency=4, maxP50Ratio=2, **fields))
    assert outcome(verdict) == ("Fail", reason)
    assert not verdict.stable_failed


async def test_a_stable_version_that_fails_already_is_not_compared_with(serve: Serve) -> None:
    stable = serve()
    stable.status = lambda number: 500
    verdict = await run(benchmark(serve(), stable, rate=200, requests=40, maxP50Ratio=2))
    assert outcome(verdict) == ("NoData", "StableUnavailable")
    assert len(stable.seen) <= 20
    assert alone(verdict, 40)


async def test_slowness_that_has_passed_when_measured_again_does_not_condemn(serve: Serve) -> None:
    server = serve()

    def slow_at_first(number: int) -> int:
        time.sleep(0.2 if number in (30, 31) else 0)
        return 200

    server.status = slow_at_first
    verdict = await run(benchmark(server, maxP99="150ms"))
    assert outcome(verdict) == ("Pass", "WithinBounds")
    assert "measured again after: p99 2" in verdict.message
    assert (verdict.samples, len(server.seen)) == (40, 20 + 2 * 44)


async def test_a_slow_candidate_is_refused_by_the_first_measurement_where_time_allows_no_second(serve: Serve) -> None:
    server = serve()
    server.delay = 0.02
    begin = 20 + 44

    def hanging_in_the_second(number: int) -> int:
        time.sleep(1.0 if number >= begin else 0)
        return 200

    server.status = hanging_in_the_second
    verdict = await run(benchmark(server, maxP99="10ms", timeout="1800ms"))
    assert outcome(verdict) == ("Fail", "P99AboveMaximum")
    assert "measured" not in verdict.message


async def test_versions_are_measured_in_turn(serve: Serve) -> None:
    order: list[str] = []
    lock = threading.Lock()

    def noting(name: str) -> Callable[[Any], Any]:
        def model(inputs: Any) -> Any:
            with lock:
                order.append(name)
            return {"scores": inputs["x"]}

        return model

    candidate, stable = serve(noting("c")), serve(noting("s"))
    candidate.delay = stable.delay = 0.02
    await run(benchmark(candidate, stable, maxP99Ratio=50, rate=60, concurrency=16))
    runs = "".join(order[i] for i in range(len(order)) if i == 0 or order[i] != order[i - 1])
    assert order.count("c") == 20 + 20 * 2 + 40, "warm-up, uncounted ones, counted ones"
    assert order.count("s") > 20 * 2 + 40
    assert len(runs) >= 20, f"the versions took {len(runs)} turns: {runs}"


async def test_concurrency_is_what_was_declared(serve: Serve) -> None:
    running, most, lock = 0, 0, threading.Lock()
    together = threading.Barrier(3)

    def model(inputs: Any) -> Any:
        nonlocal running, most
        with lock:
            running, most = running + 1, max(most, running + 1)
        if counting.is_set():
            together.wait(timeout=10)
        with lock:
            running -= 1
        return {"scores": inputs["x"]}

    counting = threading.Event()
    server = serve(model)

    def after_the_warm_up(number: int) -> int:
        if number >= 20:
            counting.set()
        return 200

    server.status = after_the_warm_up
    verdict = await run(benchmark(server, requests=30, concurrency=3))
    assert outcome(verdict) == ("Pass", "WithinBounds")
    assert most == 3


async def test_failed_requests_are_counted_and_not_retried(serve: Serve) -> None:
    server = serve()
    server.status = lambda number: 500 if number in (30, 40) else 200
    verdict = await run(benchmark(server, maxErrorRate=0.04))
    assert outcome(verdict) == ("Fail", "ErrorRateAboveMaximum")
    assert verdict.candidate["errorRate"] == 0.05
    assert "injected 500" in verdict.message
    assert len(server.seen) == 64


async def test_a_503_under_load_is_a_failed_request(serve: Serve) -> None:
    server = serve()
    server.status = lambda number: 503 if number == 30 else 200
    assert outcome(await run(benchmark(server))) == ("Fail", "ErrorRateAboveMaximum")


async def test_real_samples_are_sent_where_there_are_some(serve: Serve, pinned: Pinned, onehot: Any) -> None:
    server = serve()
    block = {"dataset": pinned(**onehot), "metric": "accuracy", "min": 0.9}
    await run(benchmark(server, evaluation=block))
    assert all(batch["x"].sum() == 1 for batch in server.seen)
    assert len({int(batch["x"].argmax()) for batch in server.seen}) == 4


async def test_running_out_of_time_keeps_what_was_seen(serve: Serve) -> None:
    server = serve()

    def failing_slowly(number: int) -> int:
        if number >= 28:
            time.sleep(0.5)
        return 500 if number >= 24 else 200

    server.status = failing_slowly
    verdict = await run(benchmark(server, requests=1000, timeout="1500ms"))
    assert outcome(verdict) == ("Fail", "ErrorRateAboveMaximum")


async def test_running_out_of_time_without_a_failure_is_an_error(serve: Serve) -> None:
    server = serve()

    def slowly(number: int) -> int:
        time.sleep(0.3 if number > 20 else 0)
        return 200

    server.status = slowly
    verdict = await run(benchmark(server, requests=1000, timeout="1s"))
    assert outcome(verdict) == ("Error", "TimedOut")
    assert "requests answered" in verdict.message


async def test_a_stable_version_that_is_gone_leaves_a_relative_benchmark_undecided(serve: Serve) -> None:
    verdict = await run(benchmark(serve(), closed_port(), maxP99Ratio=2, rate=500, timeout="2s"))
    assert outcome(verdict) == ("NoData", "StableUnavailable")
    assert alone(verdict, 40)


async def test_time_that_is_too_short_to_meet_stable_is_no_failure_of_it(serve: Serve) -> None:
    """Breaks if a time-out that is set too short has the relative bound dropped."""
    verdict = await run(benchmark(serve(), serve(), maxP99Ratio=2, rate=100, requests=20, timeout="2100ms"))
    assert outcome(verdict) == ("NoData", "StableUnavailable")
    assert not verdict.stable_failed


def test_each_version_gets_all_requests_and_chance_says_who_is_first() -> None:
    plan = list(windows(105, ["candidate", "stable"], random.Random(1)))
    for who in ("candidate", "stable"):
        assert sum(size for name, size in plan if name == who) == 105
    pairs = [(first[0], second[0]) for first, second in zip(plan[::2], plan[1::2], strict=True)]
    assert set(pairs) == {("candidate", "stable"), ("stable", "candidate")}
    assert len(pairs) == 20
    assert [size for _, size in windows(7, ["candidate"], random.Random(1))] == [1] * 7


def test_a_percentile_is_a_latency_that_was_seen() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (nearest_rank(values, 0.99), nearest_rank(values, 0.5)) == (99.0, 50.0)
    assert nearest_rank([3.0], 0.99) == 3.0
    assert np.isnan(nearest_rank([], 0.99))


def test_throughput_counts_successes_only() -> None:
    figures = Tally(latencies=[0.1, 0.2, 0.3], failures=1, busy=2.0, first_error="x").figures()
    assert (figures.throughput, figures.error_rate, figures.requests) == (1.5, 0.25, 4)
