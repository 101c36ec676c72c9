"""What is seen of a running operator from outside: health, metrics and its log."""

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from luntra_operator.api.status import HistoryEntry, ModelDeploymentStatus
from luntra_operator.controller.queue import Key, WorkQueue
from luntra_operator.fleet.budget import Budget
from luntra_operator.fleet.ledger import Ledger
from luntra_operator.kube import kinds
from luntra_operator.kube.errors import RefusedError, UnavailableError
from luntra_operator.runtime import logs
from luntra_operator.runtime.health import HUNG, OVERDUE, application, problems
from luntra_operator.runtime.life import SignsOfLife
from luntra_operator.runtime.metrics import Metrics
from luntra_operator.runtime.watches import WATCHED, Watches
from tests.operator.controller.fake_time import in_fake_time

KEY = ("team-a", "digits")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOCUMENTED = Path("docs/operations.md").read_text()


async def nothing(key: Key) -> None:
    """Work that is done at once."""


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue(nothing)


@pytest.fixture
def life() -> SignsOfLife:
    return SignsOfLife(WATCHED, failing=0.0)


@pytest.fixture
async def address(queue: WorkQueue, life: SignsOfLife, metrics: Metrics) -> AsyncIterator[str]:
    app = application(lambda: problems(queue, life), metrics.registry)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
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


async def test_unhealthy_once_a_key_has_waited_too_long_and_nobody_works(address: str, queue: WorkQueue) -> None:
    queue.add(KEY, after=-OVERDUE - 5)  # nobody runs this queue
    assert await get(f"{address}/healthz") == (503, "a key is overdue for 125 s and nobody works\n")


async def test_unhealthy_while_a_watch_is_dead_and_healthy_again_with_it(address: str, life: SignsOfLife) -> None:
    life.heard(kinds.POD.path(None), 500)
    assert await get(f"{address}/healthz") == (503, "the watch of Pod has failed for 0 s: status 500\n")
    life.heard(kinds.POD.path(None), 200)
    assert (await get(f"{address}/healthz"))[0] == 200


def test_worker_that_cannot_be_cancelled_is_named_and_one_that_is_busy_is_not(life: SignsOfLife) -> None:
    async def scenario() -> None:
        done = asyncio.Event()

        async def stubborn(key: Key) -> None:
            while not done.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await done.wait()

        queue = WorkQueue(stubborn, workers=1)
        task = asyncio.create_task(queue.run())
        queue.add(KEY)
        queue.add(("team-a", "waits"), after=1)
        await asyncio.sleep(HUNG - 1)
        assert queue.overdue > OVERDUE
        assert problems(queue, life) == []
        await asyncio.sleep(2)
        assert problems(queue, life) == ["work on team-a/digits hangs: it has been under way for 181 s"]
        done.set()
        await asyncio.sleep(1)
        assert problems(queue, life) == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    in_fake_time(scenario())


async def test_metrics_of_a_term_that_is_over_are_told_no_more(
    queue: WorkQueue, life: SignsOfLife, metrics: Metrics
) -> None:
    """Breaks if work that nobody does any more is reported as overdue, or a second term cannot report at all."""
    ledger = Ledger(Budget("nvidia.com/gpu", 4))
    for _ in range(2):
        metrics.read(queue, Watches(queue, (), life), life, ledger)
        assert metrics.registry.get_sample_value("luntra_accelerators", {"what": "total"}) == 4.0
        assert metrics.registry.get_sample_value("luntra_queue_length") == 0.0
        metrics.forget()
        assert metrics.registry.get_sample_value("luntra_queue_length") is None
    metrics.forget()


async def test_metrics_tell_of_work_requests_watches_and_objects(
    address: str, queue: WorkQueue, life: SignsOfLife, metrics: Metrics
) -> None:
    watches = Watches(queue, (), life)
    metrics.read(queue, watches, life)

    async def ends(key: Key, error: Exception) -> None:
        raise error

    assert await metrics.measured(nothing)(KEY) is None
    for error in (RuntimeError("no"), UnavailableError("no answer"), RefusedError("no")):
        with pytest.raises(type(error)):
            await metrics.measured(functools.partial(ends, error=error))(KEY)
    metrics.leader.set(1)
    metrics.asked("update", "modeldeployments", "conflict", 0.02)
    meta = {"name": "digits", "namespace": "team-a", "uid": "u", "generation": 1}
    await watches._object_event({"type": "ADDED", "object": {"metadata": meta, "status": {"phase": "Shifting"}}})
    await watches._object_event({"type": "MODIFIED", "object": {"metadata": meta, "status": {"phase": "Stable"}}})
    life.heard(kinds.POD.path(None), 200)
    entry = HistoryEntry(
        attempt=2, revision="r", version="v2", outcome="RolledBack", reason="Aborted", started_at=NOW, finished_at=NOW
    )
    before = ModelDeploymentStatus()
    metrics.written(before, ModelDeploymentStatus(history=[entry]))
    metrics.written(ModelDeploymentStatus(history=[entry]), ModelDeploymentStatus(history=[entry]))
    status, text = await get(f"{address}/metrics")
    assert status == 200
    for line in (
        'luntra_reconcile_total{result="ok"} 1.0',
        'luntra_reconcile_total{result="error"} 1.0',
        'luntra_reconcile_total{result="unavailable"} 1.0',
        'luntra_reconcile_total{result="refused"} 1.0',
        "luntra_reconcile_duration_seconds_count 4.0",
        "luntra_queue_length 1.0",
        "luntra_leader 1.0",
        'luntra_api_requests_total{code="conflict",kind="modeldeployments",verb="update"} 1.0',
        'luntra_objects{phase="Stable"} 1.0',
        'luntra_objects{phase="Shifting"} 0.0',
        'luntra_watch_requests_total{kind="Pod",outcome="ok"} 1.0',
        'luntra_rollouts_total{outcome="RolledBack"} 1.0',
        "luntra_status_writes_total 2.0",
    ):
        assert line in text.splitlines(), line
    assert "process_resident_memory_bytes" in text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP luntra_")}
    assert {name for name in names if not name.endswith("_created") and f"`{name}" not in DOCUMENTED} == set()


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
        logging.getLogger("kopf._cogs.clients.watching").error("Request attempt #1 failed")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        for name in ("kopf", "kopf._cogs.clients", "aiohttp.access"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["message"] for line in captured.err.splitlines()] == ["started"]
