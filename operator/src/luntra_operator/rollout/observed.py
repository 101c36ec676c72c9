"""What the engine is told about the cluster: a frozen snapshot, made by the controller from live reads.

The engine never sees a Kubernetes object. Everything it may base a decision on is named here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from luntra_operator.api.status import Better, GrantStatus, Verdict, VersionStatus
from luntra_operator.api.vocabulary import Reason

BROKEN = ""
"""Stands in `Observed.answers` for the revision of an answer that says that the gateway has nowhere to send a request."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a pod is not ready or does not exist; `permanent` when waiting cannot help."""

    reason: Reason
    message: str
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a workload. `ended`: its server has stopped with an error and not come back yet."""

    name: str
    uid: str
    ready: bool
    restarts: int = 0
    ended: bool = False
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """Deployment, Service and ConfigMap of one version.

    `replicas` is what the Deployment asks for, None where there is none; `endpoints` counts ready endpoints of the Service;
    `protected`: its pods are evicted one at a time.
    """

    name: str
    replicas: int | None
    pods: tuple[Pod, ...] = ()
    endpoints: int = 0
    complete: bool = True
    protected: bool = False
    problem: Problem | None = None

    @property
    def ready_pods(self) -> int:
        """Pods that are ready now."""
        return sum(pod.ready for pod in self.pods)


@dataclass(frozen=True, slots=True)
class Route:
    """The route as it stands, whatever it consists of. `weights` holds our backends only, by workload.

    `frame` tells what it was last written for, `widened` if what was there before is still in it;
    `current`: the gateway's controller has accepted exactly this generation. `agreed`: all its objects carry the same weights;
    where not, `weights` has the highest of each. `preview` names the workload that a preview leads to, None where there is none.
    """

    weights: Mapping[str, int]
    intent: str | None
    frame: str | None
    current: bool
    message: str = ""
    widened: bool = False
    agreed: bool = True
    preview: str | None = None


@dataclass(frozen=True, slots=True)
class Parked:
    """Routes (by kind) that the spec names no more and that get no request; the workloads that they still name.

    `read`: the gateway's controller has read that they are parked.
    """

    routes: frozenset[str]
    named: frozenset[str]
    read: bool


@dataclass(frozen=True, slots=True)
class CheckRun:
    """The Job of one try of a check: `verdict` is None while it runs, and `message` then says what is in its way.

    `final`: another try would end no differently; `stable_failed`: a NoData in which the candidate by itself is good and only the
    comparison is missing, because stable fails; `candidate` and `stable` have the figures by name, `log` its last lines.
    """

    verdict: Verdict | None
    reason: str = ""
    message: str = ""
    attempt: int = 1
    job: str = ""
    final: bool = False
    stable_failed: bool = False
    candidate: Mapping[str, float] = field(default_factory=dict)
    stable: Mapping[str, float] = field(default_factory=dict)
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """What a judgement is made from: the metric's value and the samples behind it, of both versions where two are compared.

    `evidence` has the natural log of what speaks against the candidate, one for each bound that it is tested against. The
    intervals are where the true values are; where they do not overlap one version is `better`.
    """

    value: float | None = None
    samples: float | None = None
    stable_value: float | None = None
    stable_samples: float | None = None
    evidence: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    stable_interval: tuple[float, float] | None = None
    better: Better | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a metric of live traffic says of the candidate now.

    `otherwise` is what NoData and Error count as once they have lasted for `patience` seconds; Hold: they go on holding.
    With `dry_run` it is only told.
    """

    metric: str
    verdict: Verdict
    message: str
    patience: float = 600.0
    otherwise: Literal["Hold", "Pass", "Fail"] = "Hold"
    dry_run: bool = False
    figures: Figures = Figures()


@dataclass(frozen=True, slots=True)
class Intents:
    """Values of the annotations by which a person asks for something; None where there is none."""

    approve: str | None = None
    abort: str | None = None
    retry: str | None = None


@dataclass(frozen=True, slots=True)
class Grants:
    """What the fleet's accelerator budget leaves to the object.

    `pods`: how many each workload may have, none if it is not named; None: as many as the spec says. `held` and `asked` are
    reported, `waiting` says why something was not granted, `excess` why too much is held.
    """

    pods: Mapping[str, int] | None = None
    held: tuple[GrantStatus, ...] = ()
    asked: tuple[GrantStatus, ...] = ()
    waiting: Problem | None = None
    excess: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """One snapshot of everything that belongs to a ModelDeployment.

    `versions` tells by workload what each one serves; `revisions` are those with a ControllerRevision;
    `parked` are routes that are about to be deleted;
    `frame` is what today's spec says of the route; `missing` says of which kind the cluster knows nothing, `postponed` which part
    of the route has to wait, `unkept` why sessions would not stay with one version, `conflict` which route is not ours;
    `service` is the workload that the Service <name>
    selects, `service_follows` whether its endpoints are that workload's; `borrowed` are the user's own routes that have our weights
    in them, `homed`: only the user's backends in them get requests, `returning` what those that go back still name, `held`: the
    object's deletion waits for them; `answers` counts by revision what the data plane answered just now, None where it was not or could
    not be asked; `checks` has the last try by check and workload; `judgements` are those of the version that gets or got the traffic
    last; `refusal` says why no workload of today's spec can be rendered, `invalid` why it cannot even
    be read: then what is planned by stands in for it, and nothing but a retreat is decided.
    """

    name: str
    generation: int
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    versions: Mapping[str, VersionStatus] = field(default_factory=dict)
    revisions: frozenset[str] = frozenset()
    route: Route | None = None
    parked: Parked | None = None
    missing: Problem | None = None
    postponed: Problem | None = None
    unkept: Problem | None = None
    conflict: Problem | None = None
    frame: str = ""
    service: str | None = None
    service_follows: bool = True
    borrowed: frozenset[str] = frozenset()
    homed: bool = True
    returning: frozenset[str] = frozenset()
    held: bool = False
    service_owned: bool = True
    checks: Mapping[tuple[str, str], CheckRun] = field(default_factory=dict)
    answers: Mapping[str, int] | None = None
    judgements: tuple[Judgement, ...] = ()
    intents: Intents = field(default_factory=Intents)
    grants: Grants = field(default_factory=Grants)
    refusal: str | None = None
    invalid: str | None = None
    highest_ordinal: int = 0

    def workload(self, name: str) -> Workload:
        """The workload of that name, an empty one if it does not exist."""
        return self.workloads.get(name) or Workload(name, replicas=None, complete=False)
