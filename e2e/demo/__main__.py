"""`make demo`: a real model rolls from v1 to v2 on a real cluster while a client keeps asking, and bad versions are refused,
two by checks before their first user request, one by what its users met.

    python -m e2e.demo

Leaves build/demo/summary.json and build/demo/traffic.svg; the exit code is 0 only if no request was lost and every
version ended as it should. The cluster stays up afterwards, to look around in.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.text import Text

from e2e.installation import Installation, install
from e2e.kind.errors import HarnessError
from e2e.kind.progress import Progress, dies_with_us
from luntra_operator.cli.render import rollout
from luntra_operator.cli.view import view
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube

from .models import trained
from .picture import draw
from .recorder import Recorder, record
from .records import Answer, Tail
from .story import HOST, NAME, NAMESPACE, Story
from .summary import Summary, summarise, table, write
from .traffic import with_brighter

OUT = Path("build/demo")
RATE = 60.0
"""Requests per second of the client."""
ENOUGH = 5000
"""Requests that the run must have seen."""
LIMIT = 900.0
"""Seconds after which the client stops whatever happens."""
PATIENCE = 240.0
"""Seconds for one version to be promoted or refused."""

EXPECTED = {"v3": "EvaluationFailed", "v4": "BenchmarkFailed", "v5": "MetricFailed"}
"""Why each bad version must be refused."""
BRIGHTER = 0.1
"""The share of the requests that come from a brighter scanner."""

Document = dict[str, Any]


class Demo:
    """The running demo: it applies versions, waits for what becomes of them and shows both on the terminal."""

    def __init__(self, kube: Kube, story: Story, console: Console) -> None:
        """Work through `kube`; nothing happens before `run`."""
        self._kube, self._story, self._console = kube, story, console
        self._document: Document = {}
        self._answers: list[Answer] = []
        self._tail = Tail(OUT / "answers.jsonl")
        self._chapter = ""
        self.recorder = Recorder()

    async def run(self, installation: Installation, rows: Path) -> Summary:
        """Play the whole story; the figures of the run."""
        stop = asyncio.Event()
        watching = asyncio.create_task(record(self.recorder, self._look, stop, time.time))
        await self._wants("v1", "v1 is deployed: there is nothing to replace yet")
        await self._until("Stable", "v1")
        async with self._client(installation, rows):
            await self._quietly(3)
            await self._wants("v2", "v2 is a better network: checked, then given traffic step by step")
            await self._until("Stable", "v2")
            await self._wants("v3", "v3 was packed with wrong normalisation constants: its own self-test cannot tell")
            await self._until("RolledBack", "v2")
            await self._wants("v4", "v4 is accurate but more than ten times slower")
            await self._until("RolledBack", "v2")
            await self._wants("v5", "v5 is accurate and fast, and fails on images of a scanner that no check has seen")
            await self._until("RolledBack", "v2")
            await self._quietly(3)
            while len(self._answers) < ENOUGH:
                await self._quietly(1)
        stop.set()
        await watching
        self._answers += self._tail.new()
        return summarise(self._answers, self.recorder.outcomes)

    def picture(self) -> str:
        """The traffic over time, as SVG."""
        title = "digits: v1 → v2 under load, v3, v4 and v5 refused"
        return draw(title, self._answers, self.recorder.weights, self.recorder.outcomes)

    async def _wants(self, version: str, chapter: str) -> None:
        self._chapter = chapter
        self._console.print(Rule(f"[bold]kubectl apply[/]  {chapter}", align="left"))
        await self._kube.apply(kinds.MODEL_DEPLOYMENT, self._story.wants(version))

    async def _look(self) -> Document | None:
        return await self._kube.get(kinds.MODEL_DEPLOYMENT, NAMESPACE, NAME)

    async def _until(self, phase: str, stable: str) -> None:
        """Show the rollout until the object has read its newest spec and reached `phase` with `stable` serving."""
        begun, said = time.monotonic(), ""
        with Live(self._screen(), console=self._console, refresh_per_second=4, transient=True) as live:
            while time.monotonic() - begun < PATIENCE:
                self._document = await self._look() or {}
                status = self._document.get("status", {})
                live.update(self._screen())
                said = self._tell(status, said)
                read = status.get("observedGeneration") == self._document.get("metadata", {}).get("generation")
                if read and status.get("phase") == phase and status.get("stable", {}).get("version") == stable:
                    self._console.print(Group(self._screen(), Text()))
                    return
                await asyncio.sleep(0.5)
        self._console.print(self._screen())
        raise HarnessError(f"{phase} with {stable} was not reached in {PATIENCE:.0f} s; the cluster is left as it is")

    def _tell(self, status: Document, said: str) -> str:
        """On what is not a terminal, one line per change instead of a live picture."""
        weight = status.get("traffic", {}).get("written")
        line = f"{status.get('phase', 'Pending')}, candidate {status.get('candidate', {}).get('version', '-')}, weight {weight}"
        if not self._console.is_terminal and line != said:
            self._console.print(f"  {datetime.now(UTC):%H:%M:%S}  {line}")
        return line

    async def _quietly(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._answers += self._tail.new()

    def _screen(self) -> RenderableType:
        self._answers += self._tail.new()
        parts: list[RenderableType] = [Text(self._chapter, "italic")]
        if self._document:
            parts.append(rollout(view(self._document, datetime.now(UTC))))
        if self._answers:
            lost, failed = (sum(told) for told in zip(*((one.lost, one.failed) for one in self._answers), strict=True))
            recent = [answer.version for answer in self._answers[-200:] if answer.version]
            shares = "  ".join(f"{one} {recent.count(one) / len(recent):.0%}" for one in sorted(set(recent)))
            style = "green" if lost == 0 else "bold red"
            parts.append(
                Text.assemble(
                    f"client: {len(self._answers):,} requests, ",
                    (f"{lost} lost", style),
                    f", {failed} failed by a version   last 200: {shares}",
                )
            )
        return Group(*parts)

    @asynccontextmanager
    async def _client(self, installation: Installation, rows: Path) -> AsyncIterator[None]:
        url = f"http://127.0.0.1:{installation.cluster.gateway_port}"
        command = [sys.executable, "-m", "e2e.demo.client", f"--url={url}", f"--model={NAME}", f"--rows={rows}"]
        command += [f"--rate={RATE}", f"--limit={LIMIT}", f"--out={OUT / 'answers.jsonl'}", f"--host={HOST}"]
        client = await asyncio.create_subprocess_exec(*dies_with_us(command), stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                client.send_signal(signal.SIGTERM)
            await client.wait()


def verdict(summary: Summary) -> list[str]:
    """What did not go as it should; empty when all is well."""
    wrong = []
    if summary["client_errors"]:
        wrong.append(f"{summary['client_errors']} requests were lost")
    if summary["requests"] < ENOUGH:
        wrong.append(f"only {summary['requests']} requests were sent, {ENOUGH} were meant")
    if summary["promoted"] != ["v2"]:
        wrong.append(f"promoted: {summary['promoted']}, meant: ['v2']")
    if set(summary["failed"]) != {"v5"}:
        wrong.append(f"failed requests by version: {summary['failed']}, meant: v5's and no other's")
    refused = {entry["version"]: entry["reason"] for entry in summary["refused"]}
    if refused != EXPECTED:
        wrong.append(f"refused: {refused}, meant: {EXPECTED}")
    return wrong


def _clean(story: Story) -> None:
    """Remove what an earlier run has left, and leave the object that v2 is asked for with, to read."""
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "answers.jsonl").unlink(missing_ok=True)
    (OUT / "modeldeployment.json").write_text(json.dumps(story.wants("v2"), indent=2) + "\n")


async def _play(installation: Installation, console: Console, progress: Progress) -> int:
    models = trained(progress)
    cluster = installation.cluster
    with progress.step("make a fresh namespace and publish the bundles"):
        cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
        cluster.kubectl("create", "namespace", NAMESPACE)
        story = Story(installation, models, installation.store.trust(NAMESPACE))
    await asyncio.to_thread(_clean, story)
    async with Kube.connect(kubeconfig=str(cluster.kubeconfig)) as kube:
        demo = Demo(kube, story, console)
        rows = await asyncio.to_thread(with_brighter, models.evaluation, BRIGHTER, OUT / "rows.npz")
        summary = await demo.run(installation, rows)
    write(summary, OUT / "summary.json")
    await asyncio.to_thread((OUT / "traffic.svg").write_text, demo.picture())
    console.print(Rule("[bold]what the client saw[/]", align="left"))
    console.print(table(summary))
    console.print(f"figures  {OUT / 'summary.json'}\npicture  {OUT / 'traffic.svg'}")
    console.print(
        f"look around  KUBECONFIG={cluster.kubeconfig} luntra status {NAME} -n {NAMESPACE}\nremove       make cluster-down"
    )
    wrong = verdict(summary)
    for line in wrong:
        console.print(f"[bold red]✘[/] {line}")
    return 1 if wrong else 0


def main() -> int:
    """Run the demo; 0 if everything went as it should."""
    console = Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "110")))
    progress = Progress()
    try:
        return asyncio.run(_play(install(progress=progress), console, progress))
    except HarnessError as error:
        console.print(f"[bold red]✘[/] {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
