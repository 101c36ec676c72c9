"""A ControllerRevision holds what its revision is, with the image resolved once and for all."""

from typing import Any

from luntra_operator.api.revision import revision_hash
from luntra_operator.api.validation import parse_spec
from luntra_operator.workloads import serving
from luntra_operator.workloads.revision import controller_revision, read_revision

Object = dict[str, Any]
MODEL = {"version": "v1", "uri": "https://models.example/v1", "digest": "sha256:" + "a" * 64}
SERVING = {
    "resources": {"limits": {"memory": "2Gi", "nvidia.com/gpu": 1}},
    "runtime": {"deadline": "1m", "maxQueue": 3},
    "podTemplate": {"spec": {"nodeSelector": {"gpu": "a100"}, "securityContext": None}},
}


def stored(owner: Object, default_image: str = "luntra/inference:1", **parts: Any) -> Object:
    spec = parse_spec({"model": MODEL, **parts})
    return controller_revision(owner, spec, revision_hash(spec), 4, default_image)


def test_revision_survives_the_round_trip(owner: Object) -> None:
    spec = parse_spec({"model": MODEL, "serving": SERVING})
    child = stored(owner, serving=SERVING)
    found = read_revision(child)
    assert found.hash == revision_hash(spec)
    assert found.model == spec.model
    assert found.serving.pod_template == SERVING["podTemplate"]
    assert (child["metadata"]["name"], child["revision"]) == (f"digits-{found.hash}", 4)
    assert child["metadata"]["ownerReferences"][0]["uid"] == "owner-uid"
    again = parse_spec({"model": MODEL, "serving": found.serving.model_dump(by_alias=True, exclude_unset=True)})
    assert revision_hash(again) == found.hash


def test_image_is_the_users_or_the_default_of_that_time(owner: Object) -> None:
    assert read_revision(stored(owner)).image == "luntra/inference:1"
    assert read_revision(stored(owner, serving={"image": "mine:7"})).image == "mine:7"


def test_deployment_is_rendered_from_the_stored_image_whatever_the_default_is_now(owner: Object) -> None:
    child = stored(owner, "luntra/inference:old")
    body = serving.deployment(owner, "digits-w1", read_revision(child), 1)
    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == "luntra/inference:old"


def test_default_image_has_no_part_in_the_hash(owner: Object) -> None:
    assert read_revision(stored(owner, "a")).hash == read_revision(stored(owner, "b")).hash
