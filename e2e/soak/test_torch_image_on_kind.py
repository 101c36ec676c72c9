"""The 5 GB inference image: built from the same Dockerfile, it serves a TorchScript bundle on the real cluster."""

import pytest

from e2e.installation import Installation
from e2e.kind.images import build_inference
from e2e.scenarios.arena import Arena

pytestmark = pytest.mark.timeout(1800)


async def test_model_moves_from_onnx_to_torchscript_without_a_lost_request(
    arena: Arena, installation: Installation
) -> None:
    """Breaks if the torch variant does not build, load, or serve; or if another image is not a rollout like any other."""
    image = build_inference("torch")
    installation.cluster.load(image)
    await arena.apply("v2")
    await arena.until_phase("Stable", "v2")
    async with arena.load() as load:
        body = arena.body("v2-torchscript", deadlines={"ready": "5m"})
        body["spec"]["serving"]["image"] = image
        body["spec"]["serving"]["resources"] = {"limits": {"memory": "2Gi"}}
        await arena.apply_body(body)
        await arena.until_phase("Stable", "v2-torchscript", seconds=300)
    assert load.errors == []
    assert {answer.version for answer in load.answers} == {"v2", "v2-torchscript"}
    assert all(answer.predicted is not None for answer in load.answers)
