"""What befalls the world: pods, versions, metrics, the gateway and the API server."""

import random
from collections.abc import Callable
from typing import Any

from luntra_operator.kube import kinds

from .api_server import START, ApiServer
from .cluster import Cluster, Later
from .gateway import Gateway
from .metrics import Metrics
from .users import CHECKS, VERSIONS, User
from .wire import Weather


class Troubles:
    """Each method is one trouble, drawn anew; `tell` hears of what no write tells."""

    def __init__(
        self,
        rng: random.Random,
        later: Later,
        clock: Callable[[], float],
        tell: Callable[[str], None],
        server: ApiServer,
        cluster: Cluster,
        gateway: Gateway,
        metrics: Metrics,
        weather: Weather,
    ) -> None:
        """Trouble these."""
        self._rng, self._later, self._clock, self._tell = rng, later, clock, tell
        self._server, self._cluster, self._gateway = server, cluster, gateway
        self._metrics, self._weather = metrics, weather

    def pods(self, user: User) -> None:
        """Pods of one workload crash (also for good), are evicted or drained, or are unready for a moment: one, or all."""
        workloads = [
            one["metadata"]["name"]
            for one in self._server.all(kinds.DEPLOYMENT)
            if one["metadata"]["name"].startswith(f"{user.name}-")
        ]
        if not workloads:
            return
        workload = self._rng.choice(workloads)
        pods = self._cluster.pods(workload)
        what = self._rng.choice(("crash", "crash", "evict", "drain", "blink"))
        version = self._cluster.version_of(workload)
        if version and self._rng.random() < 0.2:
            what, self._cluster.health[version] = "crash", "crash"
            self._tell(f"pods of {version} stay down from now on")
        for pod in pods[: self._rng.choice((1, 1, 3))]:
            self._cluster.befalls(what, pod)

    def version(self) -> None:
        """From now on a version starts or checks badly, or well."""
        version = self._rng.choice(VERSIONS)
        if self._rng.random() < 0.5:
            self._cluster.health[version] = self._rng.choice(("good", "slow", "crash", "permanent", "pull"))
            self._tell(f"pods of {version} start {self._cluster.health[version]}")
        else:
            check = self._rng.choice(sorted(CHECKS))
            verdict = self._cluster.verdicts[version, check] = self._rng.choice(("Pass", "Fail", "error", "hang"))
            self._tell(f"{check} of {version}: {verdict}")

    def gateway(self) -> None:
        """It reads no routes for a while, or can or cannot be asked."""
        if self._rng.random() < 0.4:
            self._gateway.reachable = not self._gateway.reachable
            self._tell(f"the gateway can {'' if self._gateway.reachable else 'not '}be asked")
        else:
            duration = self._rng.choice((2, 8, 80))
            self._gateway.stuck_until = self._clock() + duration
            self._tell(f"the gateway reads no routes for {duration} s")

    def outage(self) -> None:
        """The API server does not answer, or takes no new Deployment, for a while."""
        until = self._clock() + self._rng.choice((1, 5, 25))
        if self._rng.random() < 0.7:
            self._weather.out_until = until
            self._tell(f"the API server is out until {until - START:.3f}")
        else:
            self._weather.quota_until = until
            self._tell(f"the quota is used up until {until - START:.3f}")

    def metric(self) -> None:
        """The metrics say something else of a version, for a while or for good."""
        version, mood = self._rng.choice(VERSIONS), self._rng.choice(("Fail", "NoData", "Error"))
        self._metrics.moods[version] = mood  # type: ignore[assignment]  # the three are verdicts
        self._tell(f"metrics of {version}: {mood}")
        if self._rng.random() < 0.5:
            self._later(self._rng.choice((2, 8, 20)), self._metrics.moods.pop, version, None)

    def stable_dies(self, user: User, patience: int = 10) -> None:
        """All pods of the stable version die while a candidate has traffic, and somebody wants the candidate to go."""
        status: dict[str, Any] = (self._server.find(kinds.MODEL_DEPLOYMENT, user.name) or {}).get("status", {})
        if not (status.get("stable") and status.get("step")):
            if patience:
                self._later(2.0, self.stable_dies, user, patience - 1)
            return
        version = status["stable"]["version"]
        if self._rng.random() < 0.5:
            self._cluster.health[version] = "crash"
            self._later(self._rng.choice((5, 30)), self._cluster.health.pop, version, None)
        for pod in self._cluster.pods(status["stable"]["workload"]):
            self._cluster.befalls(self._rng.choice(("crash", "evict")), pod)
        wish = self._rng.choice((user.aborts, user.aborts, user.new_version))
        self._later(self._rng.uniform(0.3, 2), wish)
