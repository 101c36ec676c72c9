"""Whom a query is about, and how it gets into the query's text. Pure."""

import math
import re
from dataclasses import dataclass

from .errors import TemplateError

_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Target:
    """A version under rollout and the one that it is compared with; `window` is in seconds."""

    namespace: str
    name: str
    revision: str
    stable_revision: str | None
    workload: str
    stable_workload: str | None
    window: float

    def values(self) -> dict[str, str | None]:
        """The value of each placeholder."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "revision": self.revision,
            "stableRevision": self.stable_revision,
            "workload": self.workload,
            "stableWorkload": self.stable_workload,
            "window": span(self.window),
        }


def fill(template: str, target: Target) -> str:
    """The template with `{{ name }}` and the others replaced.

    All values are names as Kubernetes has them, or a duration, so nothing in them can end a string of PromQL or a part of a URL;
    one that is not raises.

    Raises:
        TemplateError: a placeholder does not exist, or has no value yet.
    """
    values = target.values()

    def value(found: re.Match[str]) -> str:
        placeholder = found[1].strip()
        if placeholder not in values:
            known = ", ".join(values)
            raise TemplateError(f"there is no placeholder {placeholder[:40]!r}; there are {known}")
        filled = values[placeholder]
        if filled is None:
            raise TemplateError(f"{placeholder} has no value: there is no stable version yet")
        if not _NAME.fullmatch(filled):
            raise TemplateError(f"{placeholder} is {filled[:40]!r}, which is no name that Kubernetes knows")
        return filled

    return _PLACEHOLDER.sub(value, template)


def span(seconds: float) -> str:
    """A duration as PromQL writes it: `30s`, `1500ms`; at least a millisecond.

    Raises:
        TemplateError: it is not a positive number.
    """
    if not math.isfinite(seconds) or seconds <= 0:
        raise TemplateError(f"window is {seconds:g} seconds; give a positive number")
    thousandths = max(1, round(seconds * 1000))
    return f"{thousandths}ms" if thousandths % 1000 else f"{thousandths // 1000}s"
