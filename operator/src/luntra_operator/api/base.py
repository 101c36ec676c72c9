"""What all types of the API share: camelCase on the wire, frozen in memory, unknown fields refused."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """Base of the spec types.

    `cel_rules` are (rule, message) pairs that the CRD generator turns into
    `x-kubernetes-validations`; whatever a rule forbids, the type itself forbids too, so that an
    object is judged alike by the API server and by the operator.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")

    cel_rules: ClassVar[tuple[tuple[str, str], ...]] = ()


class StatusModel(BaseModel):
    """Base of the status types: like the spec's, but unknown fields are dropped, not refused.

    A status may have been written by a newer operator; reading it must never fail for that.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")
