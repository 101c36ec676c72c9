"""What is seen of a running operator from outside: health, metrics and its log."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from luntra_operator.controller.queue import Key, WorkQueue
from luntra_operator.runtime import logs
from luntra_operator.runtime.health import OVERDUE_LIMIT, application
from luntra_operator.runtime.metrics import Metrics

KEY = ("team-a", "digits")


async def nothing(key: Key) -> None:
    """Work that is done at once."""


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue(nothing)


@pytest.fixture
async def address(queue: WorkQueue, metrics: Metrics) -> AsyncIterator[str]:
    runner = web.AppRunner(application(queue, metrics.registry), access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_healthy_while_no_key_is_overdue_for_long(address: str, queue: WorkQueue) -> None:
    assert await get(f"{address}/healthz") == (200, "ok\n")
    queue.add(KEY, after=1000)
    assert (await get(f"{address}/healthz"))[0] == 200


async def test_unhealthy_once_a_key_has_waited_too_long_for_a_worker(address: str, queue: WorkQueue) -> None:
    queue.add(KEY, after=-OVERDUE_LIMIT - 5)  # nobody runs this queue
    status, text = await get(f"{address}/healthz")
    assert status == 503
    assert "overdue for 125 s: workers hang" in text


async def test_metrics_tell_results_durations_and_the_queues_length(
    address: str, queue: WorkQueue, metrics: Metrics
) -> None:
    metrics.watch_queue(lambda: len(queue))
    queue.add(KEY, after=1000)

    async def broken(key: Key) -> None:
        raise RuntimeError("no")

    assert await metrics.measured(nothing)(KEY) is None
    with pytest.raises(RuntimeError):
        await metrics.measured(broken)(KEY)
    metrics.leader.set(1)
    status, text = await get(f"{address}/metrics")
    assert status == 200
    for line in (
        'luntra_reconcile_total{result="ok"} 1.0',
        'luntra_reconcile_total{result="error"} 1.0',
        "luntra_reconcile_duration_seconds_count 2.0",
        "luntra_queue_length 1.0",
        "luntra_leader 1.0",
    ):
        assert line in text


async def test_measured_work_that_is_cancelled_is_passed_on(metrics: Metrics) -> None:
    async def endless(key: Key) -> None:
        await asyncio.Event().wait()

    task = asyncio.ensure_future(metrics.measured(endless)(KEY))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def record(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("luntra_operator.x", logging.WARNING, __file__, 1, message, arguments, info)


def test_log_line_is_one_line_of_json() -> None:
    line = logs.JsonFormatter().format(record("%s: %s", "digits", 'two\nlines, and "quotes" – ok'))
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == 'digits: two\nlines, and "quotes" – ok'
    assert (told["level"], told["logger"]) == ("warning", "luntra_operator.x")
    assert told["time"].endswith("+00:00")


def test_exception_is_part_of_its_line() -> None:
    line = logs.JsonFormatter().format(record("failed", error=ValueError("no such thing")))
    assert "\n" not in line
    assert "ValueError: no such thing" in json.loads(line)["exception"]


def test_log_goes_to_standard_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.configure("info")
        logging.getLogger("luntra_operator").info("started")
        logging.getLogger("luntra_operator").debug("not told")
        logging.getLogger("kopf.objects").info("not told")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        for name in ("kopf", "aiohttp.access"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["message"] for line in captured.err.splitlines()] == ["started"]
