"""What a check Job is told: one JSON text in the environment variable LUNTRA_CHECK.

The blocks `evaluation` and `benchmark` are those of the ModelDeployment, unchanged. No defaults beyond theirs.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from luntra_operator.api.checks import BenchmarkCheck, EvaluationCheck
from luntra_operator.api.quantities import seconds
from luntra_operator.checks.errors import CheckError

VARIABLE = "LUNTRA_CHECK"


class CheckConfig(BaseModel):
    """One check of one candidate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["evaluation", "benchmark"]
    model: str = Field(min_length=1, max_length=253)
    """Name of the model in the inference protocol's paths."""
    candidate: str
    """Base URL of the candidate's workload, such as `http://digits-w2.shop.svc:8080`."""
    stable: str | None = None
    """Base URL of the stable workload; null while none serves, and then relative bounds are not applied."""
    evaluation: EvaluationCheck | None = None
    """Set for an evaluation. For a benchmark it is optional: its samples are then the ones that are sent."""
    benchmark: BenchmarkCheck | None = None

    @field_validator("candidate", "stable")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not a base URL: write it as http://HOST:PORT")
        return url

    @model_validator(mode="after")
    def _block_for_kind(self) -> Self:
        _ = self.block
        return self

    @property
    def block(self) -> EvaluationCheck | BenchmarkCheck:
        """The block of this kind."""
        block = self.evaluation if self.kind == "evaluation" else self.benchmark
        if block is None:
            raise ValueError(f"kind is {self.kind} but the block `{self.kind}` is missing: add it")
        return block

    @property
    def timeout(self) -> float:
        """Seconds for the whole check."""
        return seconds(self.block.timeout)


def read(environment: dict[str, str]) -> CheckConfig:
    """Read the configuration from the environment.

    Raises:
        CheckError: it is missing or wrong; the message says which field and why.
    """
    text = environment.get(VARIABLE)
    if text is None:
        raise CheckError(
            "InvalidConfiguration", f"environment variable {VARIABLE} is not set: put the check's JSON there"
        )
    try:
        return CheckConfig.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'object'}: {fault['msg']}" for fault in error.errors()
        )
        raise CheckError("InvalidConfiguration", f"{VARIABLE} is not a valid check: {faults}") from error
