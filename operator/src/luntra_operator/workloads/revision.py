"""ControllerRevisions: the immutable record of what a revision is; every workload is rendered from one."""

from dataclasses import dataclass
from typing import Any

from luntra_operator.api.revision import revision_content
from luntra_operator.api.spec import Model, ModelDeploymentSpec, Serving
from luntra_operator.api.vocabulary import LABEL_REVISION

from .naming import metadata, revision_name


@dataclass(frozen=True, slots=True)
class Revision:
    """A stored revision: `image` was resolved once, when it was stored."""

    hash: str
    model: Model
    serving: Serving
    image: str


def controller_revision(
    owner: dict[str, Any], spec: ModelDeploymentSpec, revision: str, number: int, default_image: str
) -> dict[str, Any]:
    """The ControllerRevision of today's spec."""
    content = revision_content(spec)
    image = spec.serving.image if spec.serving and spec.serving.image else default_image
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata(owner, revision_name(owner["metadata"]["name"], revision), **{LABEL_REVISION: revision}),
        "revision": number,
        "data": {**content, "image": image},
    }


def read_revision(child: dict[str, Any]) -> Revision:
    """The revision that a ControllerRevision holds."""
    data = child["data"]
    return Revision(
        hash=child["metadata"]["labels"][LABEL_REVISION],
        model=Model.model_validate(data["model"]),
        serving=Serving.model_validate(data.get("serving", {})),
        image=data["image"],
    )
