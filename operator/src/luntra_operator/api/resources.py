"""Compute resources of a container."""

from typing import Annotated

from pydantic import Field, StringConstraints

from .base import ApiModel
from .quantities import QUANTITY_PATTERN

Whole = Annotated[int, Field(ge=0, strict=True)]
Quantity = Annotated[str, StringConstraints(pattern=QUANTITY_PATTERN, max_length=32)]


class ResourceRequirements(ApiModel):
    """Compute resources, as in a container."""

    limits: dict[str, Whole | Quantity] | None = Field(default=None, description="Upper bounds, e.g. {memory: 2Gi}.")
    requests: dict[str, Whole | Quantity] | None = Field(default=None, description="What the scheduler reserves.")
