"""Who may change this process: tokens that are signed for one request to one pod. Verification only; nothing here can sign.

A token is a JSON Web Token (RFC 7519) with an Ed25519 signature (RFC 8037). It says for which pod (`aud`: the pod's UID), until when
(`exp`, at most 30 s after `iat`), and for which request: method (`htm`) and path (`htu`) as in RFC 9449, and the SHA-256 of the
body (`body`). The public keys are a JWK set in a file, two of them during a rotation; `kid` names the one that counts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 30.0
"""Seconds for which a token may be good."""

_SCHEME = "Bearer "
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
            raise NotAllowedError("there is no token; send one in the header Authorization: Bearer …")
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
