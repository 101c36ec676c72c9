"""The API server that the other integration tests stand on."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.kind import control_plane
from e2e.kind.control_plane import Answer, ApiServer
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable


def config_map(name: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if owner:
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"]}
        metadata["ownerReferences"] = [{**reference, "uid": owner["metadata"]["uid"]}]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}


def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come true within {seconds} s"
        time.sleep(0.05)


def processes_that_name(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in words:
            found.append(words)
    return found


def test_an_object_that_was_created_can_be_read_back(api_server: ApiServer, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api_server.request("POST", path, config_map("one"))
    assert api_server.request("GET", f"{path}/one")["data"] == {"a": "1"}


def test_each_test_has_a_namespace_of_its_own(api_server: ApiServer, namespace: str) -> None:
    assert api_server.request("GET", f"/api/v1/namespaces/{namespace}/configmaps")["items"] == []


def test_an_error_of_the_api_server_carries_its_status(api_server: ApiServer, namespace: str) -> None:
    with pytest.raises(Answer) as refused:
        api_server.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/none")
    assert refused.value.status == 404
    assert "none" in str(refused.value)


def test_a_stale_resource_version_is_a_conflict(api_server: ApiServer, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    first = api_server.request("POST", path, config_map("one"))
    api_server.request("PUT", f"{path}/one", {**first, "data": {"a": "2"}})
    with pytest.raises(Answer) as refused:
        api_server.request("PUT", f"{path}/one", {**first, "data": {"a": "3"}})
    assert refused.value.status == 409


def test_the_kubeconfig_serves_kubectl_as_administrator(api_server: ApiServer, kubectl: Path, namespace: str) -> None:
    command = [str(kubectl), "--kubeconfig", str(api_server.kubeconfig), "get", "namespace", namespace, "-o", "name"]
    assert (
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == f"namespace/{namespace}"
    )


def test_children_of_a_deleted_owner_are_collected(controllers: ApiServer, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    owner = controllers.request("POST", path, config_map("owner"))
    controllers.request("POST", path, config_map("child", owner))
    controllers.request("DELETE", f"{path}/owner")
    eventually(lambda: controllers.request("GET", path)["items"] == [])


def test_what_was_started_is_gone_when_it_is_over(program: Callable[[str], Path]) -> None:
    with control_plane.running(program) as server:
        control_plane.start_controllers(server, program)
        folder = str(server.folder)
        # a process that has just been started has no command line yet for a moment
        eventually(lambda: len(processes_that_name(folder)) == 3)
    assert processes_that_name(folder) == []
    assert not Path(folder).exists()


def test_a_server_that_cannot_start_is_reported_with_its_log(program: Callable[[str], Path], tmp_path: Path) -> None:
    broken = tmp_path / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho the reason; exit 1\n")
    broken.chmod(0o755)
    with (
        pytest.raises(HarnessError, match=r"(?s)ended with status 1.*the reason"),
        control_plane.running(lambda name: broken if name == "kube-apiserver" else program(name)),
    ):
        pass


def test_an_audit_log_tells_users_apart(program: Callable[[str], Path]) -> None:
    """Breaks if users share a token, or a request is answered before it is written down."""
    rules = [{"level": "Metadata", "users": ["one", "two"]}, {"level": "None"}]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    with control_plane.running(program, ("one", "two"), json.dumps(policy)) as server:
        kubectl = [str(program("kubectl")), "get", "namespaces", "--kubeconfig"]
        for kubeconfig in (server.kubeconfig_of("one"), server.kubeconfig_of("two"), server.kubeconfig):
            subprocess.run([*kubectl, str(kubeconfig)], check=True, capture_output=True)
        events = [json.loads(line) for line in server.audit_log.read_text().splitlines()]
    asked = [event["user"]["username"] for event in events if event["requestURI"].startswith("/api/v1/namespaces")]
    assert asked == ["one", "two"]
