"""The demo itself: what `make demo` promises, on the real cluster."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.installation import Installation


@pytest.mark.timeout(600)
def test_demo_promotes_the_good_version_refuses_the_bad_ones_and_loses_no_request(installation: Installation) -> None:
    """Breaks if any part of the product does: it is the whole of it in four minutes."""
    done = subprocess.run([sys.executable, "-m", "e2e.demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    summary = json.loads(Path("build/demo/summary.json").read_text())
    assert summary["client_errors"] == 0
    assert summary["requests"] >= 5000
    assert summary["promoted"] == ["v2"]
    assert {entry["version"]: entry["reason"] for entry in summary["refused"]} == {
        "v3": "EvaluationFailed",
        "v4": "BenchmarkFailed",
        "v5": "MetricFailed",
    }
    assert set(summary["failed"]) == {"v5"}
    explained = summary["refused"][-1]["message"]
    assert re.match(
        r"errors: error rate [\d.]+ % of \d+ vs 0 % of [\d,]+ on stable, .* → rolled back at \d+ %$", explained
    ), explained
    assert Path("build/demo/traffic.svg").read_text().startswith("<svg")
