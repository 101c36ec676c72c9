"""The demo's user: asks a model at a steady rate over connections that stay open, and writes down every answer.

Nothing is retried and nothing is smoothed over: whatever is not status 200 with a version and a prediction of the right
shape counts as an error, broken connections included. Requests start when the schedule says so, however long earlier ones
take (so a slow server shows as latency, not as fewer requests), up to a bound on requests in flight.

    python -m e2e.demo.client --url http://127.0.0.1:18080 --model digits --rows rows.npz --rate 40 --out answers.jsonl

runs as a process of its own, so that nothing else disturbs its clock, until SIGTERM or the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

import aiohttp

from e2e.demo.protocol import Request, interface_of, prediction, requests
from e2e.demo.records import Answer, line
from luntra_operator.checks.dataset import load

VERSION_HEADER = "x-model-version"
REQUEST_TIMEOUT = 10.0
IN_FLIGHT = 64
_LISTED = 20
"""Errors that are printed; all are written down."""


class Load:
    """Load on one model; `requests` and `errors` count while it runs.

    Args:
        url: base URL of the gateway.
        model: name of the model in the protocol's paths.
        rows: .npz with one array per model input and `labels` (integers).
        rate: requests per second.
        out: where answers are written, one line of JSON each.
        limit: seconds after which it stops by itself.
        host: Host header, where the route wants another than the URL's.
    """

    def __init__(
        self, url: str, model: str, rows: Path, *, rate: float, out: Path, limit: float, host: str | None = None
    ) -> None:
        self._model_url = f"{url.rstrip('/')}/v2/models/{model}"
        self._rows = rows
        self._rate = rate
        self._out = out
        self._limit = limit
        self._headers = {"Host": host} if host else {}
        self._stopped = asyncio.Event()
        self.requests = 0
        self.errors = 0

    def stop(self) -> None:
        """Send no more; `run` returns when all that were sent are answered."""
        self._stopped.set()

    async def run(self) -> None:
        """Ask for the model's metadata, then for predictions, row after row, until stopped or the limit.

        Raises:
            aiohttp.ClientError: the metadata cannot be had; the load has not begun then.
        """
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
        self._out.parent.mkdir(parents=True, exist_ok=True)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector) as session:
            async with session.get(self._model_url, raise_for_status=True) as answer:
                interface = interface_of(await answer.json())
            prepared = requests(load(self._rows.read_bytes()), interface)
            with self._out.open("w", encoding="utf-8", buffering=1) as out:
                await self._keep_asking(session, prepared, out)

    async def _keep_asking(self, session: aiohttp.ClientSession, prepared: list[Request], out: TextIO) -> None:
        clock = asyncio.get_running_loop().time
        begin, slots = clock(), asyncio.Semaphore(IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            for number, request in enumerate(itertools.cycle(prepared)):
                due = number / self._rate
                if due >= self._limit or await self._stopped_before(begin + due - clock()):
                    return
                await slots.acquire()
                task = group.create_task(self._ask(session, request, out))
                task.add_done_callback(lambda _: slots.release())

    async def _stopped_before(self, wait: float) -> bool:
        if wait > 0:
            try:
                await asyncio.wait_for(self._stopped.wait(), wait)
            except TimeoutError:
                return False
        return self._stopped.is_set()

    async def _ask(self, session: aiohttp.ClientSession, request: Request, out: TextIO) -> None:
        at, begin = time.time(), time.perf_counter()
        status, version, predicted, error = 0, "", None, ""
        try:
            async with session.post(f"{self._model_url}/infer", data=request.body, headers=request.headers) as answer:
                body = await answer.read()
                status, version = answer.status, answer.headers.get(VERSION_HEADER, "")
            if status != 200:
                error = f"status {status}: {body[:200].decode('utf-8', 'replace')}"
            elif not version:
                error = f"no {VERSION_HEADER} header"
            else:
                predicted = prediction(body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as fault:
            error = f"{type(fault).__name__}: {fault}"
        latency = time.perf_counter() - begin
        self.requests += 1
        self.errors += bool(error)
        if error and self.errors <= _LISTED:
            print(f"client error: {error}", file=sys.stderr, flush=True)
        out.write(line(Answer(at, latency, status, version, request.label, predicted, error)))


async def _main(asked: argparse.Namespace) -> int:
    load = Load(asked.url, asked.model, asked.rows, rate=asked.rate, out=asked.out, limit=asked.limit, host=asked.host)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, load.stop)
    await load.run()
    print(f"{load.requests} requests, {load.errors} errors", flush=True)
    return 1 if load.errors else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the client as a process; returns 0 where every request was answered well, else 1."""
    parser = argparse.ArgumentParser(prog="python -m e2e.demo.client", description="Ask a model at a steady rate.")
    parser.add_argument("--url", required=True, help="base URL of the gateway")
    parser.add_argument("--model", required=True)
    parser.add_argument("--rows", type=Path, required=True, help=".npz with the model's inputs and `labels`")
    parser.add_argument("--rate", type=float, default=40.0, help="requests per second (default: 40)")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds to run at most (default: 900)")
    parser.add_argument("--out", type=Path, required=True, help="where answers are written, JSON lines")
    parser.add_argument("--host", help="Host header, where the route wants one")
    return asyncio.run(_main(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
