"""H11: many threads do everything at once. With `make soak` for longer."""

from __future__ import annotations

import os
import random
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from luntra_serving.swap.loading import LoadFailedError, Steps, SupersededError
from luntra_serving.swap.swapper import InUseError, NotResidentError, NotServedError
from tests.serving.swap.conftest import Bench, eventually, identity

if TYPE_CHECKING:
    from collections.abc import Callable

EXPECTED = (NotServedError, NotResidentError, InUseError, SupersededError, LoadFailedError, ValueError)
THREADS = 32
VERSIONS = 8
ROUNDS = int(os.environ.get("LUNTRA_STORM_ROUNDS", "1024"))


def fail(_steps: Steps) -> None:
    raise OSError("storage is gone")


def ask(bench: Bench, chance: random.Random) -> None:
    with bench.swapper.acquire(chance.choice([None, "a", "b"])) as model:
        assert 0 <= model.infer() < VERSIONS


def load(bench: Bench, chance: random.Random) -> None:
    number = chance.randrange(VERSIONS)
    before = fail if chance.random() < 0.1 else lambda _steps: None
    bench.swapper.load(identity(number), bench.loader(number, before=before)).result(30)


def act(bench: Bench, chance: random.Random) -> None:
    """One operation, a request more often than not."""
    one = identity(chance.randrange(VERSIONS))
    operations: dict[Callable[[], object], float] = {
        lambda: ask(bench, chance): 70,
        lambda: load(bench, chance): 10,
        lambda: bench.swapper.promote(one): 8,
        lambda: bench.swapper.rollback(): 4,
        lambda: bench.swapper.retire(one): 4,
        lambda: bench.swapper.split(one, chance.randrange(101)): 2,
        lambda: bench.swapper.supersede(one): 1.5,
        lambda: bench.swapper.unload(): 0.5,
    }
    [chosen] = chance.choices(list(operations), list(operations.values()))
    chosen()


def test_h11_random_operations_from_many_threads_end_with_nothing_held(bench: Bench) -> None:
    bench.serve(0)
    problems: list[str] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(ROUNDS):
            try:
                act(bench, chance)
            except EXPECTED:
                continue
            except BaseException:  # noqa: BLE001 - the thread's end would hide what the test is about
                problems.append(traceback.format_exc())
                return

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert problems == []
    bench.swapper.unload()
    eventually(lambda: bench.budget.free == bench.budget.total, 30)
    eventually(lambda: len(bench.deaths.seen) == len(bench.deaths.born), 30)
    alive = [status for status in bench.swapper.statuses().values() if status.in_flight]
    assert alive == []
