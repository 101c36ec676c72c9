"""What can go wrong at the API server, as far as a caller does something different about it.

KubeError
├── NotFoundError       the object does not exist
├── KindMissingError    the API server knows no such kind: a CRD is not installed
├── ConflictError       someone else wrote first, or a `test` of a patch failed: read again and decide anew
├── RefusedError        the request can never succeed as it is: invalid, or forbidden by quota or admission
└── UnavailableError    no answer, time-out, throttling or a server error: try again later
    └── NotPermittedError   we may not do this: rights say nothing about an object, and an API server that has just started
                            refuses everybody until it has read its roles
"""

import json
import re
from typing import Any


class KubeError(Exception):
    """Any refusal or failure of the API server; the message says of which request."""


class NotFoundError(KubeError):
    """The object does not exist."""


class KindMissingError(KubeError):
    """The API server does not serve the kind."""


class ConflictError(KubeError):
    """The object has changed meanwhile, or exists already."""


class RefusedError(KubeError):
    """Invalid, or forbidden by quota or an admission plug-in."""


class UnavailableError(KubeError):
    """The API server did not answer or could not."""


class NotPermittedError(UnavailableError):
    """The API server does not know us, or no role of ours allows the request."""


_NO_RIGHT = re.compile(r'User "[^"]*" cannot \w+ ')
"""In the message of every 403 from an authorizer, and in none from quota or admission (apiserver's responsewriters)."""


def from_response(request: str, status: int, body: str) -> KubeError:
    """The error that an HTTP answer with a status of 400 or more means."""
    try:
        answer: dict[str, Any] = json.loads(body)
    except ValueError:
        answer = {}
    message = f"{request}: {answer.get('message') or body.strip()[:300] or 'no message'} ({status})"
    if status == 404:
        # The API server answers for an unknown kind in plain text, for an unknown object with a Status.
        return NotFoundError(message) if answer.get("reason") == "NotFound" else KindMissingError(message)
    # A `test` of a JSON Patch that does not hold is a 422 without causes; an invalid object's 422 names them.
    if status == 409 or (status == 422 and not (answer.get("details") or {}).get("causes")):
        return ConflictError(message)
    if status == 401 or (status == 403 and _NO_RIGHT.search(message)):
        return NotPermittedError(message)
    if status in (400, 403, 405, 413, 415, 422):
        return RefusedError(message)
    return UnavailableError(message)
