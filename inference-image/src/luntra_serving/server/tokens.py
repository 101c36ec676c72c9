"""Who may change this process: tokens that are signed for one request to one pod. Verification only; nothing here can sign.

Feedback changes counters alone and comes from people's own programs, to any pod: for it there is one token that they share.

A signed token is a JSON Web Token (RFC 7519) with an Ed25519 signature (RFC 8037). It says for which pod (`aud`: the pod's UID), until when
(`exp`, at most 30 s after `iat`), and for which request: method (`htm`) and path (`htu`) as in RFC 9449, and the SHA-256 of the
body (`body`). The public keys are a JWK set in a file, two of them during a rotation; `kid` names the one that counts.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 30.0
"""Seconds for which a token may be good."""

_SCHEME = "Bearer "
_MISSING = "there is no token; send one in the header Authorization: Bearer …"
_LEEWAY = 5.0
"""Seconds by which two clocks may differ."""


class NotAllowedError(Exception):
    """The request is not from somebody who may make it; the message says what is wrong with its token."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Public keys in the JWK set `file`, read anew for each request, so that a rotation needs no restart. `pod` is this pod's UID."""

    file: Path
    pod: str

    def check(self, authorization: str | None, method: str, path: str, body: bytes) -> None:
        """Raise NotAllowedError unless the header `Authorization` carries a token for exactly this request."""
        if authorization is None or not authorization.startswith(_SCHEME):
            raise NotAllowedError(_MISSING)
        try:
            claims = self._verified(authorization.removeprefix(_SCHEME))
        except (jwt.PyJWTError, OSError, ValueError) as error:
            raise NotAllowedError(f"the token is refused: {error}") from error
        if float(claims["exp"]) - float(claims["iat"]) > LONGEST:
            raise NotAllowedError(f"the token is good for more than {LONGEST:g} s; sign it for less")
        said = (claims.get("htm"), claims.get("htu"), claims.get("body"))
        if said != (method, path, hashlib.sha256(body).hexdigest()):
            raise NotAllowedError("the token is for another request; sign method, path and body of this one")

    def _verified(self, token: str) -> dict[str, Any]:
        named = jwt.get_unverified_header(token).get("kid")
        keys = jwt.PyJWKSet.from_dict(json.loads(self.file.read_text())).keys
        key = next((key for key in keys if key.key_id == named), None)
        if key is None:
            raise ValueError(f"key {named!r} is not known here")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["EdDSA"],
            audience=self.pod,
            leeway=_LEEWAY,
            options={"require": ["exp", "iat", "aud"]},
        )
        return claims


@dataclass(frozen=True, slots=True)
class SharedToken:
    """The token in `file`, without the white space around it; read anew for each request, so that a new one needs no restart."""

    file: Path

    def check(self, authorization: str | None) -> None:
        """Raise NotAllowedError unless the header `Authorization` carries the token."""
        if authorization is None or not authorization.startswith(_SCHEME):
            raise NotAllowedError(_MISSING)
        try:
            token = self.file.read_bytes().strip()
        except OSError as error:
            raise NotAllowedError(
                f"the server's token cannot be read: {error.strerror}; mount it at {self.file}"
            ) from error
        if not token:
            raise NotAllowedError(f"the server's token is empty; write one into {self.file}")
        given = authorization.removeprefix(_SCHEME).encode("latin-1", "replace").strip()
        if not hmac.compare_digest(given, token):  # takes as long wherever the first difference is
            raise NotAllowedError("the token is another one than the server's")
