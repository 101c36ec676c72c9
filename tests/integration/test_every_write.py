"""R7 and R20: whichever write of a rollout or of a rollback fails, or is the last of its process, the outcome is the same.

The writes of an undisturbed run are counted first. Then each of them meets each fault, in runs of their own, a dozen at a time.
A sample of the rollout's is tested here; LUNTRA_EVERY_WRITE=1 (`make soak`) tests all, and the rollback's. The chaos test makes many faults
meet in one run, and lets somebody else edit the route meanwhile; LUNTRA_CHAOS says how many runs.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from e2e.kind.control_plane import ApiServer
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import KubeError
from tests.integration.faults import FAULTS, Fault
from tests.integration.faulty_runs import Run, told
from tests.integration.test_operator_scenarios import NAME, Cluster

pytestmark = pytest.mark.timeout(3600)  # `make soak` has hundreds of runs in one test
AT_ONCE = 12
SAMPLE = 2
"""Writes that meet each fault, where not all do."""
EVERY = os.environ.get("LUNTRA_EVERY_WRITE") == "1"
CHAOS = int(os.environ.get("LUNTRA_CHAOS", "0"))
SEED = 7
LIKELIHOOD = 0.08
"""Of a fault at each write, in the chaos test."""


@pytest.fixture
async def kube(controllers: ApiServer, custom_resources: None) -> AsyncIterator[Kube]:
    async with Kube.connect(kubeconfig=str(controllers.kubeconfig)) as connected:
        yield connected


async def in_parallel(runs: list[tuple[str, Callable[[], Awaitable[Run]]]]) -> tuple[list[str], Counter[str]]:
    """What was wrong with these runs, each by its name, and which faults they met."""
    slots = asyncio.Semaphore(AT_ONCE)
    broken: list[str] = []
    met: Counter[str] = Counter()

    async def one(name: str, begin: Callable[[], Awaitable[Run]]) -> None:
        async with slots:
            try:
                run = await begin()
            except AssertionError as error:  # it never ends; the others tell more than its traceback
                broken.append(f"{name}: {error}")
                return
        met.update(run.faults.met)
        broken.extend(f"{name}: {wrong}" for wrong in run.wrong())

    async with asyncio.TaskGroup() as tasks:
        for name, begin in runs:
            tasks.create_task(one(name, begin))
    return broken, met


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(False, id="rollout"),
        pytest.param(True, id="rollback", marks=pytest.mark.skipif(not EVERY, reason="make soak")),
    ],
)
async def test_r7_r20_every_write_may_fail_or_be_the_last(kube: Kube, bad: bool) -> None:
    """Breaks if a decision is acted on before it is written, or anything of a rollout is only in memory."""
    undisturbed = await told(kube, bad=bad, at={})
    assert undisturbed.wrong() == []
    writes = undisturbed.faults.writes
    every, rng = range(1, writes + 1), random.Random(SEED)
    chosen = [(k, fault) for fault in FAULTS for k in (every if EVERY else rng.sample(every, SAMPLE))]

    def begun(k: int, fault: Fault) -> Callable[[], Awaitable[Run]]:
        return lambda: told(kube, bad=bad, at={k: fault})

    broken, met = await in_parallel([(f"write {k}, {fault}", begun(k, fault)) for k, fault in chosen])
    print(
        f"{writes} writes; {len(chosen)} of {writes * len(FAULTS)} points, met: {dict(met)}; {len(broken)} broken promises"
    )
    assert broken == []
    assert met.total() >= 0.8 * len(chosen)  # how many writes a run needs varies a little


@pytest.mark.skipif(not CHAOS, reason="make soak")
async def test_r7_r8_r20_many_faults_and_foreign_edits_in_one_rollout(kube: Kube) -> None:
    """Breaks if two faults in a row, or a fault and somebody else's edit, undo what one alone does not."""

    def begun(seed: int) -> Callable[[], Awaitable[Run]]:
        rng = random.Random(seed)
        at: dict[int, Fault] = {k: rng.choice(FAULTS) for k in range(1, 80) if rng.random() < LIKELIHOOD}
        bad = rng.random() < 0.4

        async def meddle(cluster: Cluster) -> None:
            for _ in range(rng.randint(0, 3)):
                await asyncio.sleep(rng.uniform(4, 12))  # a disturbance, nothing waits for it
                edit = [{"op": "add", "path": "/spec/rules/0/backendRefs/0/weight", "value": rng.choice((0, 30, 100))}]
                try:
                    await cluster.kube.patch(kinds.HTTP_ROUTE, cluster.namespace, NAME, edit)
                except KubeError:
                    continue  # there is no route yet

        return lambda: told(kube, bad=bad, at=at, meddle=meddle)

    broken, met = await in_parallel([(f"seed {seed}", begun(seed)) for seed in range(CHAOS)])
    print(f"{CHAOS} runs; faults: {dict(met)}; {len(broken)} broken promises")
    assert broken == []
