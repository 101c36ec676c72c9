"""Bad input on the real cluster: each is a clear error or condition, nothing is lost, the old version goes on serving."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.demo.models import Models
from e2e.installation import Installation
from e2e.kind.errors import HarnessError
from e2e.scenarios.arena import NAME, Arena
from luntra_operator.kube import kinds

pytestmark = pytest.mark.timeout(300)

Object = dict[str, Any]


def changed(body: Object, path: str, value: Any) -> Object:
    """The object with one field set; None removes it."""
    *folders, last = path.split(".")
    target = body
    for folder in folders:
        target = target[folder]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("spec.modle", {}, 'unknown field "spec.modle"'),
        ("spec.rollout.steps", [{"weight": 101}], "spec.rollout.steps[0].weight"),
        ("spec.rollout.steps", [{"weight": 50}, {"weight": 20}], "weights must increase from step to step"),
        ("spec.model.digest", None, "spec.model.digest: Required value"),
    ],
)
async def test_kubectl_says_what_is_wrong_and_nothing_changes(
    arena: Arena, installation: Installation, path: str, value: Any, told: str
) -> None:
    with pytest.raises(HarnessError) as refused:
        installation.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(changed(arena.body("v1"), path, value)))
    assert told in str(refused.value)
    assert await arena.kube.get(kinds.MODEL_DEPLOYMENT, arena.namespace, NAME) is None


def with_parent_path(bundle: Path) -> None:
    """Let the bundle's list of files name one outside its folder."""
    manifest = yaml.safe_load((bundle / "model.yaml").read_text())
    manifest["files"][0]["path"] = "../" + manifest["files"][0]["path"]
    (bundle / "model.yaml").write_text(yaml.safe_dump(manifest))


def with_pickle(bundle: Path) -> None:
    """Put a pickle that would run a command where the model is named, with size and digest made right."""
    manifest = yaml.safe_load((bundle / "model.yaml").read_text())
    entry = next(file for file in manifest["files"] if file["path"] == manifest["backend"]["entry"])
    disguise = b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR."
    (bundle / entry["path"]).write_bytes(disguise)
    entry |= {"size": len(disguise), "sha256": hashlib.sha256(disguise).hexdigest()}
    (bundle / "model.yaml").write_text(yaml.safe_dump(manifest))


@pytest.mark.parametrize(
    ("spoil", "bundle", "told"),
    [(with_parent_path, "v2", ".."), (with_pickle, "v2", "pickle")],
)
async def test_dangerous_bundle_is_refused_before_anything_is_loaded(
    arena: Arena, installation: Installation, models: Models, tmp_path: Path, spoil: Any, bundle: str, told: str
) -> None:
    spoiled = tmp_path / "bundle"
    shutil.copytree(models.bundle(bundle)[0], spoiled)
    spoil(spoiled)
    uri = installation.store.put(spoiled, f"scenarios/{arena.namespace}")
    digest = "sha256:" + hashlib.sha256((spoiled / "model.yaml").read_bytes()).hexdigest()
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    async with arena.load() as load:
        body = changed(arena.body("v2"), "spec.model.uri", uri)
        await arena.apply_body(changed(body, "spec.model.digest", digest))
        await arena.until_phase("RolledBack", "v1")
    status = await arena.status()
    assert status["rejectedReason"] == "LoadFailed"
    assert told in status["rejectedMessage"]
    assert load.errors == []


async def test_wrong_digest_is_refused_at_once_and_named(arena: Arena) -> None:
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    async with arena.load() as load:
        await arena.apply_body(changed(arena.body("v2"), "spec.model.digest", "sha256:" + "0" * 64))
        await arena.until_phase("RolledBack", "v1")
    assert "DigestMismatch" in (await arena.status())["rejectedMessage"]
    assert load.errors == []


async def test_unreachable_uri_is_named_when_the_deadline_has_passed(arena: Arena) -> None:
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    async with arena.load() as load:
        body = arena.body("v2", deadlines={"ready": "50s"})
        await arena.apply_body(changed(body, "spec.model.uri", "https://nowhere.luntra-artifacts.svc/digits"))
        await arena.until_phase("RolledBack", "v1", seconds=120)
    assert "nowhere.luntra-artifacts.svc" in (await arena.status())["rejectedMessage"]
    assert load.errors == []


async def test_exceeded_quota_is_named(arena: Arena) -> None:
    quota = kinds.Kind("", "v1", "resourcequotas", "ResourceQuota")
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": arena.namespace},
        "spec": {"hard": {"pods": "3"}},
    }
    await arena.kube.apply(quota, body)

    async def counted() -> bool:
        found = await arena.kube.get(quota, arena.namespace, "small") or {}
        return "pods" in found.get("status", {}).get("used", {})

    await arena.until(counted)
    async with arena.load() as load:
        await arena.apply("v2", deadlines={"ready": "8s"})
        await arena.until_phase("RolledBack", "v1")
    status = await arena.status()
    assert status["rejectedReason"] == "QuotaExceeded"
    assert "exceeded quota: small" in status["rejectedMessage"]
    assert load.errors == []
