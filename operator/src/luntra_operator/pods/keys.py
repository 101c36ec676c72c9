"""The operator's Ed25519 keys: pure; who stores them is `controller.keys`.

A rotation takes three steps, so that no pod ever meets a key that it has not heard of: the new public key is handed out
beside the old one; after SETTLE seconds the new key signs; after as long again the old one goes.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SETTLE = 1800.0
"""Seconds from handing a public key out to signing with it: every object is visited every 10 minutes, and a kubelet brings a
ConfigMap to its pods within about two."""

MAX_AGE = 90 * 86400.0
"""Seconds after which a key is replaced without being asked."""


class KeysError(ValueError):
    """Stored keys cannot be read; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key pair; `kid` is derived from the public half."""

    seed: bytes = field(repr=False)
    made_at: datetime

    @classmethod
    def new(cls, now: datetime) -> "Key":
        """A fresh key."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw(), now)

    @property
    def private(self) -> Ed25519PrivateKey:
        """What signs."""
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def public(self) -> dict[str, str]:
        """The public half as a JWK (RFC 8037)."""
        x = self.private.public_key().public_bytes_raw()
        kid = hashlib.sha256(x).hexdigest()[:16]
        return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "use": "sig", "x": encode(x)}

    def age(self, now: datetime) -> float:
        """Seconds since it was made."""
        return (now - self.made_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Ring:
    """One key, two during a rotation, the older one first; `rotation` is the last request for one that was heard."""

    keys: tuple[Key, ...]
    rotation: str = ""

    @classmethod
    def new(cls, now: datetime) -> "Ring":
        """A ring with a fresh key."""
        return cls((Key.new(now),))

    def turned(self, now: datetime, asked: str = "") -> "Ring":
        """The ring as it should be now; `asked` is what a person wrote to have it rotated, any new text."""
        newest = self.keys[-1]
        if len(self.keys) > 1:
            return Ring(self.keys[-1:], self.rotation) if newest.age(now) >= 2 * SETTLE else self
        if asked not in ("", self.rotation):
            return Ring((newest, Key.new(now)), asked)
        return Ring((newest, Key.new(now)), self.rotation) if newest.age(now) >= MAX_AGE else self

    def signing(self, now: datetime) -> tuple[Key, ...]:
        """The keys to sign with, the one that every pod should know first."""
        return self.keys[::-1] if self.keys[-1].age(now) >= SETTLE else self.keys

    @property
    def public(self) -> str:
        """The JWK set that pods read."""
        return json.dumps({"keys": [key.public for key in self.keys]}, sort_keys=True)

    def stored(self) -> str:
        """All of it as text, to be kept secret."""
        keys = [{**key.public, "d": encode(key.seed), "madeAt": key.made_at.isoformat()} for key in self.keys]
        return json.dumps({"keys": keys, "rotation": self.rotation})


def read_ring(text: str) -> Ring:
    """The ring that `Ring.stored` has written.

    Raises:
        KeysError: it was not.
    """
    try:
        stored: dict[str, Any] = json.loads(text)
        keys = tuple(Key(decode(one["d"]), datetime.fromisoformat(one["madeAt"])) for one in stored["keys"])
        if not keys or any(key.public["x"] != one["x"] for key, one in zip(keys, stored["keys"], strict=True)):
            raise KeysError("there is no key, or one whose halves do not belong together")
        return Ring(keys, stored.get("rotation", ""))
    except (ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
        raise KeysError(f"the keys cannot be read: {type(error).__name__}: {error}") from error


def encode(data: bytes) -> str:
    """Base64url without padding, as JOSE has it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes behind `encode`."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
