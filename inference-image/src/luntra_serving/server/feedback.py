"""Read what is said of answers: right, wrong, or worth so much. Parsing only; who may say it is `tokens`' affair."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from luntra_serving.errors import RequestError
from luntra_serving.server.request_ids import revision_of
from luntra_serving.telemetry.feedback import Said

MOST = 1000
"""Entries of one request."""
_AT_ONCE = 50
"""Entries that are read before inferences have their turn on the event loop."""
_LONGEST_LIST = 100
_LONGEST_TEXT = 1000
_SHOWN = 60
_SCALARS = (bool, int, float, str)


def _check_id(text: str) -> str:
    revision_of(text)
    return text


def _check_label(label: Any) -> Any:
    parts = label if isinstance(label, list) else [label]
    if len(parts) > _LONGEST_LIST or not all(isinstance(part, _SCALARS) for part in parts):
        raise ValueError(f"it must be a text, a number, true or false, or a list of up to {_LONGEST_LIST} of these")
    if any(isinstance(part, str) and len(part) > _LONGEST_TEXT for part in parts):
        raise ValueError(f"a text in it is longer than {_LONGEST_TEXT} characters")
    return label


_PART = {"type": ["string", "number", "boolean"]}
_LABEL = {"anyOf": [_PART, {"type": "array", "items": _PART, "maxItems": _LONGEST_LIST}]}
Label = Annotated[Any, AfterValidator(_check_label), WithJsonSchema(_LABEL)]


class FeedbackEntry(BaseModel):
    """What became of one answer: exactly one of `correct`, `reward`, and `prediction` with `truth`, which are compared."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, AfterValidator(_check_id)] = Field(description="The x-luntra-request-id of the answer.")
    correct: bool | None = None
    reward: Annotated[float, Field(ge=0, le=1)] | None = None
    prediction: Label | None = None
    truth: Label | None = None

    @model_validator(mode="after")
    def _say_one_thing(self) -> FeedbackEntry:
        if (self.prediction is None) != (self.truth is None):
            raise ValueError("prediction and truth are compared; send both")
        if [self.correct, self.reward, self.truth].count(None) != 2:
            raise ValueError("send exactly one of correct, reward, and prediction with truth")
        return self

    @property
    def said(self) -> Said:
        """What is counted of it."""
        label = self.correct if self.truth is None else _same(self.prediction, self.truth)
        reward = self.reward if self.reward is not None else float(label is True)
        return Said(self.id, revision_of(self.id), reward, label)


_ENTRIES = TypeAdapter(list[FeedbackEntry])


async def read_feedback(body: bytes) -> list[Said]:
    """Return what a request's body says, which is one entry or a list. Raises RequestError (422) unless all of it is good."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(422, f"the body is not JSON: {error}") from error
    entries = content if isinstance(content, list) else [content]
    if len(entries) > MOST:
        raise RequestError(422, f"the body has {len(entries)} entries; send at most {MOST} at a time")
    said: list[Said] = []
    while len(said) < len(entries):
        try:
            said += [entry.said for entry in _ENTRIES.validate_python(entries[len(said) : len(said) + _AT_ONCE])]
        except ValidationError as error:
            raise RequestError(422, _explain(error, len(said))) from error
        await asyncio.sleep(0)
    return said


def _explain(error: ValidationError, start: int) -> str:
    """Say what is wrong with the first entry that is; its number counts from 0."""
    problem = error.errors(include_url=False, include_context=False)[0]
    place, *field = problem["loc"]
    where = ".".join(map(str, (start + int(place), *field)))
    what = problem["msg"].removeprefix("Value error, ")
    return f"entry {where}: {what} (got {problem['input']!r:.{_SHOWN}}); none of the entries was counted"


def _same(one: Any, other: Any) -> bool:
    """Whether two labels are equal; unlike Python, true is not 1."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
