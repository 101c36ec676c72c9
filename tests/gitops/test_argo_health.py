"""The health check for Argo CD in docs/gitops.md, run as Argo CD runs it on objects that real rollouts have left.

Argo CD has Lua 5.1 (gopher-lua) with the basic functions and `table` alone, hands the object over as tables, and takes a
table with one of its own words: https://github.com/argoproj/argo-cd/blob/master/util/lua/lua.go
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from tests.gitops.recording import stored

PAGE = Path("docs/gitops.md").read_text()
OBJECTS = stored()
WITHHELD = ("coroutine", "debug", "io", "math", "string")
STATUSES = {
    "created": "Progressing",
    "first": "Progressing",
    "edited": "Progressing",
    "preparing": "Progressing",
    "checking": "Progressing",
    "shifting": "Progressing",
    "silent": "Progressing",
    "rolling-back": "Progressing",
    "short": "Progressing",
    "approval": "Suspended",
    "paused": "Suspended",
    "soaking": "Healthy",
    "stable": "Healthy",
    "rolled-back": "Degraded",
    "invalid": "Degraded",
    "unserved": "Degraded",
}
"""All but a deleted object, of which Argo CD asks no script."""


def script() -> str:
    """The script out of the ConfigMap that the page shows."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (config,) = (body for body in map(yaml.safe_load, blocks) if body["kind"] == "ConfigMap")
    return config["data"]["resource.customizations.health.luntra.io_ModelDeployment"]


def health(body: dict[str, Any]) -> dict[str, str]:
    """What the script says of an object."""
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False, unpack_returned_tuples=True)

    def handed(value: Any) -> Any:
        if isinstance(value, dict):
            return lua.table_from({key: handed(one) for key, one in value.items()})
        return lua.table_from([handed(one) for one in value]) if isinstance(value, list) else value

    for library in WITHHELD:
        lua.globals()[library] = None
    lua.execute("local text = ...; getmetatable(text).__index = nil", "")
    lua.globals().obj = handed(body)
    return dict(lua.execute(script()))


@pytest.mark.parametrize("situation", sorted(OBJECTS.keys() - {"deleted"}))
def test_health_in_each_situation(situation: str) -> None:
    told = health(OBJECTS[situation])
    assert told["status"] == STATUSES[situation]
    assert told["message"]


def test_message_is_the_operators() -> None:
    assert "MetricFailed" in health(OBJECTS["rolled-back"])["message"]
    assert health(OBJECTS["unserved"])["message"] == "no pod of v1 is ready"


def test_paused_object_that_serves_nobody_is_degraded() -> None:
    """Breaks if a pause hides that users get errors."""
    body = OBJECTS["paused"]
    conditions = [
        {**one, "status": "False"} if one["type"] == "Available" else one for one in body["status"]["conditions"]
    ]
    assert health({**body, "status": {**body["status"], "conditions": conditions}})["status"] == "Degraded"


def test_status_without_conditions_is_one_that_nobody_has_written_yet() -> None:
    assert health({**OBJECTS["stable"], "status": {"phase": "Pending"}})["status"] == "Progressing"
