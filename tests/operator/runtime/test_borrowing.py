"""Secrets and ConfigMaps of users, as sources of metrics read them."""

import base64
from typing import Any

import pytest

from luntra_operator.kube import kinds
from luntra_operator.kube.errors import KubeError, NotPermittedError, UnavailableError
from luntra_operator.runtime.borrowing import Borrowing
from luntra_operator.sources.errors import Misconfigured, SourceError, Unavailable


class Cluster:
    """What there is, and what goes wrong when it is read."""

    def __init__(self, data: dict[str, str] | None, error: KubeError | None = None) -> None:
        self.data, self.error = data, error
        self.asked: list[tuple[str, str, str]] = []

    async def get(self, kind: kinds.Kind, namespace: str, name: str) -> dict[str, Any] | None:
        self.asked.append((kind.kind, namespace, name))
        if self.error:
            raise self.error
        return None if self.data is None else {"data": self.data}


def borrowing(data: dict[str, str] | None, error: KubeError | None = None) -> tuple[Borrowing, Cluster]:
    cluster = Cluster(data, error)
    return Borrowing(cluster), cluster  # type: ignore[arg-type]  # all that it uses


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


async def test_key_of_a_secret_is_decoded() -> None:
    borrowed, cluster = borrowing({"token": encoded(b"hush")})
    assert await borrowed.secret("team-a", "access", "token") == "hush"
    assert cluster.asked == [("Secret", "team-a", "access")]


async def test_key_of_a_config_map_is_taken_as_it_is() -> None:
    borrowed, cluster = borrowing({"ca.crt": "PEM"})
    assert await borrowed.config_map("team-a", "ca", "ca.crt") == "PEM"
    assert cluster.asked == [("ConfigMap", "team-a", "ca")]


@pytest.mark.parametrize(
    ("data", "error", "kind", "told"),
    [
        (None, None, Misconfigured, "there is no Secret access in namespace team-a: create it"),
        ({"other": "eA=="}, None, Misconfigured, "Secret access in namespace team-a has no key token: add it"),
        ({"token": encoded(b"\xffhush")}, None, Misconfigured, "is no text in UTF-8"),
        (
            None,
            NotPermittedError("no"),
            Misconfigured,
            "may not read Secret access.*: set sources.secrets of its chart",
        ),
        (None, UnavailableError("down"), Unavailable, "cannot be read now: down"),
    ],
)
async def test_secret_that_cannot_be_had_is_named(
    data: dict[str, str] | None, error: KubeError | None, kind: type[SourceError], told: str
) -> None:
    borrowed, _ = borrowing(data, error)
    with pytest.raises(kind, match=told) as refused:
        await borrowed.secret("team-a", "access", "token")
    assert "hush" not in repr(refused.value)
    assert "hush" not in repr(refused.value.__cause__)
