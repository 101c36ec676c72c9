"""Every word that Luntra writes into the cluster: labels, annotations, conditions, reasons.

One file, so that a user can look up what a label or a reason means and a change of one is seen as
the API change that it is. `docs/reference.md` lists them with what to do about each.
"""

from enum import StrEnum
from typing import Final

GROUP: Final = "luntra.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "ModelDeployment"
PLURAL: Final = "modeldeployments"

FIELD_MANAGER: Final = "luntra"
"""Field manager of every server-side apply and the `reportingController` of every Event."""

# Labels. Selectors use LABEL_WORKLOAD alone: it never changes during the life of a pod.
LABEL_DEPLOYMENT: Final = "luntra.io/model-deployment"
LABEL_WORKLOAD: Final = "luntra.io/workload"
LABEL_ROLE: Final = "luntra.io/role"
LABEL_CHECK: Final = "luntra.io/check"
LABEL_REVISION: Final = "luntra.io/revision"

ROLE_SERVING: Final = "serving"
ROLE_CHECK: Final = "check"

# Annotations.
ANNOTATION_INTENT: Final = "luntra.io/intent"
"""On a route: `<attempt>/<revision>/<weight>`, the decision that the written weights carry out."""
ANNOTATION_FRAME: Final = "luntra.io/frame"
"""On a route: hash of what `spec.traffic` says about it (parents, hostnames, matches, preview), without weights; with a ~ while what
was said before is still in it. `parked`: it gets no request any more and is about to be deleted."""
FRAME_PARKED: Final = "parked"
ANNOTATION_ADOPTED: Final = "luntra.io/adopted"
"""On a route of the user's, while Luntra's weights are in it: JSON by ModelDeployment, with the backendRefs as the user wrote them
and the intent and frame that other routes have in annotations of their own; one route may serve several models."""
ANNOTATION_APPROVE: Final = "luntra.io/approve"
"""On a ModelDeployment: names the version (or its digest or revision) that may go on; see `rollout.approval`."""
ANNOTATION_ABORT: Final = "luntra.io/abort"
"""On a ModelDeployment: names the version under rollout, or in its soak, that is to be taken back and refused."""
ANNOTATION_RETRY: Final = "luntra.io/retry"
"""On a ModelDeployment: names a rejected revision (or its version or digest) that is to be tried again."""
ANNOTATION_ROTATE: Final = "luntra.io/rotate-keys"
"""On the Secret `luntra-keys`: any new text has the operator's key replaced."""

KEY_STORE: Final = "luntra-keys"
"""The Secret in the operator's namespace with the keys that sign documents for pods."""

HEADER_PREVIEW: Final = "x-luntra-preview"
"""On a request that comes by `traffic.gateway.preview`: `true`. Where that is declared our routes take it off all others."""
HOST_PARKED: Final = "luntra-parked"
"""On an HTTPRoute or GRPCRoute that is about to be deleted: how its hosts begin, which nobody asks for."""
HEADER_PARKED: Final = "x-luntra-parked"
"""In the matches of such a route, if it is for all hosts: a header that nobody sends."""
FINALIZER_ADOPTED: Final = "luntra.io/adopted-route"
"""On a ModelDeployment, while its weights are in a route of the user's: deletion waits until they are taken out."""

PORT_HTTP: Final = 8080
PORT_GRPC: Final = 8081
PORT_MANAGEMENT: Final = 8090


class Phase(StrEnum):
    """Where a ModelDeployment is in its life; `status.phase`."""

    PENDING = "Pending"
    PREPARING = "Preparing"
    CHECKING = "Checking"
    SHIFTING = "Shifting"
    AWAITING_APPROVAL = "AwaitingApproval"
    SOAKING = "Soaking"
    STABLE = "Stable"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"


class Condition(StrEnum):
    """Condition types, with the meaning that kstatus gives to the first three; OverBudget is only there while it is true."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    AVAILABLE = "Available"
    OVER_BUDGET = "OverBudget"


class Reason(StrEnum):
    """Reasons in conditions, in `status.rejectedReason` and of Events."""

    # At rest.
    STABLE = "Stable"
    SERVING = "Serving"
    NOT_SERVING = "NotServing"
    PAUSED = "Paused"
    INVALID_SPEC = "InvalidSpec"
    # A rollout under way.
    PROGRESSING = "Progressing"
    ROLLOUT_STARTED = "RolloutStarted"
    CHECKS_STARTED = "ChecksStarted"
    CHECK_RETRIED = "CheckRetried"
    STABLE_NOT_COMPARED = "StableNotCompared"
    TRAFFIC_SHIFTING = "TrafficShifting"
    WEIGHT_CHANGED = "WeightChanged"
    PROMOTED = "Promoted"
    RELEASED = "Released"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    # Why a candidate was refused.
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    LOAD_FAILED = "LoadFailed"
    CANDIDATE_DIED = "CandidateDied"
    EVALUATION_FAILED = "EvaluationFailed"
    BENCHMARK_FAILED = "BenchmarkFailed"
    CHECK_ERROR = "CheckError"
    STEP_DEADLINE_EXCEEDED = "StepDeadlineExceeded"
    METRIC_FAILED = "MetricFailed"
    APPROVAL_TIMED_OUT = "ApprovalTimedOut"
    ABORTED = "Aborted"
    # Why a candidate was withdrawn without being refused.
    SUPERSEDED = "Superseded"
    RETURNED_TO_STABLE = "ReturnedToStable"
    SCALED_TO_ZERO = "ScaledToZero"
    # What a rollout waits for; the second and third refuse a candidate where silence is declared to count as failure.
    AWAITING_APPROVAL = "AwaitingApproval"
    NO_DATA = "NoData"
    METRIC_SOURCE_UNAVAILABLE = "MetricSourceUnavailable"
    AWAITING_ACCELERATORS = "AwaitingAccelerators"
    ACCELERATORS_EXCEEDED = "AcceleratorsExceeded"
    PODS_NOT_READY = "PodsNotReady"
    QUOTA_EXCEEDED = "QuotaExceeded"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CRASH_LOOP = "CrashLoop"
    GATEWAY_API_MISSING = "GatewayAPIMissing"
    GRPC_NOT_SERVED = "GRPCNotServed"
    ISTIO_MISSING = "IstioMissing"
    SESSIONS_NOT_KEPT = "SessionsNotKept"
    ROUTE_NOT_ACCEPTED = "RouteNotAccepted"
    ROUTE_CONFLICT = "RouteConflict"
    ROUTE_REPAIRED = "RouteRepaired"
    ROUTE_NOT_ADOPTABLE = "RouteNotAdoptable"
    FOREIGN_BACKEND = "ForeignBackend"
    ROUTE_CONTENDED = "RouteContended"
    NAME_CONFLICT = "NameConflict"
    NEEDS_DECISION = "NeedsDecision"
