"""Read a raw object into the spec type, or say what is wrong with it in words a user can act on."""

from typing import Any

from pydantic import ValidationError

from .spec import ModelDeploymentSpec


class InvalidSpecError(ValueError):
    """The spec breaks a rule; the message names each field, its value and the rule."""


def parse_spec(spec: dict[str, Any]) -> ModelDeploymentSpec:
    """The typed spec of a raw object's `spec`.

    Raises:
        InvalidSpecError: with one line for each problem.
    """
    try:
        return ModelDeploymentSpec.model_validate(spec)
    except ValidationError as error:
        raise InvalidSpecError("; ".join(_problem(dict(detail)) for detail in error.errors())) from error


def _problem(detail: dict[str, Any]) -> str:
    path = "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    if detail["type"] == "missing":
        return f"{path} is missing; add it"
    if detail["type"] == "extra_forbidden":
        return f"{path} is not a known field; remove it or check its spelling"
    message = detail["msg"].removeprefix("Value error, ")
    if isinstance(detail["input"], dict | list):
        return f"{path}: {message}"
    return f"{path}: {detail['input']!r} is refused: {message}"
