"""What the command line decides, as one immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luntra_serving.telemetry.logs import LogFormat


@dataclass(frozen=True, slots=True)
class Settings:
    """All times are in seconds. Exactly one of `documents` and `bundles` is not empty."""

    documents: tuple[Path, ...] = ()
    bundles: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    http_port: int = 8080
    grpc_port: int | None = None
    """None: HTTP alone."""
    management_host: str = "127.0.0.1"
    management_port: int = 8090
    cache_dir: Path = Path("/var/cache/luntra")
    termination_delay: float = 5.0
    drain_limit: float = 15.0
    deadline: float = 0.5
    max_queue: int = 256
    max_batch: int = 32
    batch_delay: float = 0.0
    """How long a request may wait for others to run with; 0: never."""
    max_body: int = 64 << 20
    threads: int = 0
    """Cores that one inference may use; 0 means those that the container has."""
    self_test_limit: float = 60.0
    """Longest that a version's warm-up, and then its self-test, may take."""
    keep_previous: bool = True
    """Whether the version before stays in memory after a promotion."""
    log_format: LogFormat = "json"
    access_log: float = 0.0
    """Share of the requests that are logged, 0 to 1."""
    otlp: str | None = None
    """Address of the collector that gets a span for each inference; None: no spans."""
    keys: Path | None = None
    """JWK set of those who may change this process."""
    feedback_token_file: Path | None = None
    """Holds the token of those who may give feedback; None: nobody may."""
    pod_uid: str = ""
    """What a token must be signed for."""
    pod: str = ""
    """This pod's name, by which a document names the pods that serve its candidate."""
    retry_delays: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 10.0)
    """Waits before each new attempt after a transient failure to load."""
