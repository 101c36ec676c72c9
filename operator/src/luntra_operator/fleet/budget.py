"""How many accelerators all ModelDeployments together, and those of each namespace, may use."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Key = tuple[str, str]
"""Namespace and name of a ModelDeployment."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits in whole units of one extended resource; `per_namespace` is for namespaces that `namespaces` does not name.

    None means that the namespace has no limit but `total`.
    """

    resource: str
    total: int
    per_namespace: int | None = None
    namespaces: Mapping[str, int] = field(default_factory=dict)

    def limit(self, namespace: str) -> int:
        """Units that a namespace may use; never more than there are in all."""
        own = self.namespaces.get(namespace, self.per_namespace)
        return self.total if own is None else min(own, self.total)

    def setting(self, namespace: str) -> str:
        """The value of the chart that `limit` comes from."""
        if self.limit(namespace) == self.total:
            return "accelerators.total"
        return f"accelerators.namespaces.{namespace}" if namespace in self.namespaces else "accelerators.perNamespace"
