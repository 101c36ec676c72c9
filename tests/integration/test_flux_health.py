"""What Flux makes of objects that real rollouts have left, asked of Flux's own code (flux_health/), as docs/gitops.md has it."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from e2e.kind import cache, gobuild
from e2e.kind.progress import Progress
from tests.gitops.recording import stored

SOURCE = Path(__file__).parent / "flux_health"
PAGE = Path("docs/gitops.md").read_text()
WAITS = "no such attribute"
"""Of an error in an expression Flux makes Unknown, and waits."""
MOVING = ("InProgress", "InProgress")
STATUSES = {
    "created": ("Current", WAITS),
    "first": MOVING,
    "edited": MOVING,
    "preparing": MOVING,
    "checking": MOVING,
    "shifting": MOVING,
    "silent": MOVING,
    "approval": MOVING,
    "rolling-back": MOVING,
    "short": MOVING,
    "unserved": MOVING,
    "paused": ("Failed", "InProgress"),
    "soaking": ("Current", "Current"),
    "stable": ("Current", "Current"),
    "rolled-back": ("Failed", "Failed"),
    "invalid": ("Failed", "Failed"),
}
"""By the conditions alone, and by the page's expressions. A deleted object is not waited for by the latter."""


@pytest.fixture(scope="module")
def flux() -> Path:
    """The program, from the cache or built now (two minutes with an empty cache of Go's)."""

    def build(target: Path) -> None:
        command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(target / "flux-health"), "."]
        progress.run(command, "go-flux-health", env=gobuild.environment(progress), cwd=SOURCE)

    progress = Progress()
    return cache.ensure("bin", "flux-health", cache.tree_key(SOURCE), build, progress) / "flux-health"


@pytest.mark.timeout(1200)
def test_flux_sees_what_the_page_says(flux: Path) -> None:
    """Breaks if a condition no longer means to Flux what it should, or the page's expressions are wrong."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (kustomization,) = (body for body in map(yaml.safe_load, blocks) if body["kind"] == "Kustomization")
    (check,) = kustomization["spec"]["healthCheckExprs"]
    objects = stored()
    assert {(body["apiVersion"], body["kind"]) for body in objects.values()} == {(check["apiVersion"], check["kind"])}
    expressions = {name: text for name, text in check.items() if name not in ("apiVersion", "kind")}
    question = json.dumps({"expressions": expressions, "objects": objects})
    done = subprocess.run([str(flux)], input=question, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told.pop("deleted")["kstatus"] == "Terminating"
    assert told.keys() == STATUSES.keys()
    for situation, (unaided, expressed) in STATUSES.items():
        assert told[situation]["kstatus"] == unaided, situation
        assert re.search(expressed, told[situation]["expressions"]), situation
