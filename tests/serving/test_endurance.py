"""H20: swap after swap under a steady load. LUNTRA_SWAPS sets how many; `make soak` asks for 500.

Latency is not judged here but in the benchmarks; what is lost, held, or left in memory is.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.serving.bundles import points_bundle, target
from tests.serving.clients import Clients
from tests.serving.processes import ServerProcess, get, put, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_serving.bundle.verify import Bundle

SWAPS = int(os.environ.get("LUNTRA_SWAPS", "40"))
CLIENTS, RATE = 4, 200.0
WARM = 100
"""Swaps after which memory is first looked at: allocators and caches have settled by then."""
GROWTH = 16 << 20
"""Bytes by which the process may have grown in all swaps after that."""
BODY = json.dumps({"inputs": [{"name": "points", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 1.0, 2.0]}]})


class Load(Clients):
    """Clients that ask at a steady rate on connections that stay open."""

    def __init__(self, address: str) -> None:
        self.statuses: Counter[int] = Counter()
        self.versions: Counter[str] = Counter()
        self._address = address
        super().__init__(CLIENTS)

    def ask(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        due = time.monotonic()
        while not self.stop.is_set():
            due += CLIENTS / RATE
            self.stop.wait(max(0.0, due - time.monotonic()))
            try:
                connection.request("POST", "/v2/models/points/infer", BODY)
                response = connection.getresponse()
                response.read()
            except OSError as error:
                self.problems.append(repr(error))
                connection.close()
                continue
            self.statuses[response.status] += 1
            self.versions[response.headers["x-model-version"]] += 1
        connection.close()


def resident(server: ServerProcess) -> int:
    """Resident bytes of the process."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def serves(server: ServerProcess, version: str) -> bool:
    return bool(server.state("points")["stable"] == version)


def test_h20_swaps_under_load_lose_nothing_and_leave_nothing(
    points: Bundle, document: Callable[..., Path], tmp_path: Path
) -> None:
    bundles = [points, points_bundle(tmp_path / "points-v2", version="v2")]
    events: dict[int, dict[str, Any]] = {}
    sizes = []
    with ServerProcess("--document", document(points), "--cache-dir", tmp_path / "cache") as server:
        server.wait_ready()
        with Load(server.address) as load:
            for swap in range(1, SWAPS + 1):
                stable = target(bundles[swap % 2], version=f"s{swap}")
                assert put(server, 10 + swap, stable).status == 200
                until(partial(serves, server, f"s{swap}"), f"swap {swap}")
                last = max(events, default=0)
                new = json.loads(get(server.management, f"/v1/events?since={last}").body)["events"]
                events |= {event["number"]: event for event in new}
                if swap in (WARM, SWAPS):
                    sizes.append(resident(server))
        assert load.problems == []
        assert set(load.statuses) == {200}
        assert set(load.versions) == {"v1", *(f"s{swap}" for swap in range(1, SWAPS + 1))} & set(load.versions)
        assert len(load.versions) > SWAPS / 2, "most versions answered nothing, so hardly anything was tried"
        happened = Counter((event["version"], event["event"]) for event in events.values())
        for swap in range(1, SWAPS - 1):  # the last two are in memory still
            assert [happened[f"s{swap}", kind] for kind in ("Ready", "Promoted", "Retired")] == [1, 1, 1]
        until(lambda: server.state("points")["versions"][-3]["state"] == "Reclaimed", "the last one to be reclaimed")
        assert sum(count for (_, kind), count in happened.items() if kind == "Stuck") == 0
    if SWAPS > WARM:
        assert sizes[-1] - sizes[0] < GROWTH, f"{(sizes[-1] - sizes[0]) / (SWAPS - WARM):,.0f} bytes stay of each swap"
    print(f"{SWAPS} swaps, {sum(load.statuses.values())} requests, resident bytes {sizes}")
