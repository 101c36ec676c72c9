"""A token is good for one request to one pod, and not for long: the signing side of what the model server verifies.

A JSON Web Token (RFC 7519) signed with EdDSA (RFC 8037); `htm` and `htu` as in RFC 9449, `body` the SHA-256 of the body. One that is
caught and sent again does nothing new: the same document is followed already, or it is older than the one that is.
"""

import hashlib
import json
from datetime import datetime

from .keys import Key, encode

LIFETIME = 20
"""Seconds for which a token is good; servers accept 30 at most, and clocks that differ by 5."""


def sign(key: Key, pod: str, method: str, path: str, body: bytes, now: datetime) -> str:
    """The header `Authorization` for this request to the pod with this UID."""
    issued = int(now.timestamp())
    claims = {
        "aud": pod,
        "iat": issued,
        "exp": issued + LIFETIME,
        "htm": method,
        "htu": path,
        "body": hashlib.sha256(body).hexdigest(),
    }
    header = {"alg": "EdDSA", "typ": "JWT", "kid": key.public["kid"]}
    signed = ".".join(encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"Bearer {signed}.{encode(key.private.sign(signed.encode()))}"
