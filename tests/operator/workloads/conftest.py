"""Shared makers for the builders' tests: an owner, a revision, and the objects that follow."""

from collections.abc import Callable
from typing import Any

import pytest

from luntra_operator.api.spec import Model, Serving
from luntra_operator.workloads.revision import Revision

Object = dict[str, Any]
MODEL = {"version": "v1", "uri": "https://models.example/secret-path/v1", "digest": "sha256:" + "a" * 64}


@pytest.fixture
def owner() -> Object:
    """A ModelDeployment as the API server returns it."""
    return {
        "apiVersion": "luntra.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "digits", "namespace": "team-a", "uid": "owner-uid"},
        "spec": {"model": MODEL},
    }


@pytest.fixture
def revision() -> Callable[..., Revision]:
    """A stored revision; keyword arguments are fields of spec.serving, `model` adds to spec.model."""

    def make(model: Object | None = None, **serving: Any) -> Revision:
        return Revision(
            hash="0123456789",
            model=Model.model_validate({**MODEL, **(model or {})}),
            serving=Serving.model_validate(serving),
            image="luntra/inference:1",
        )

    return make
