"""A route of the Gateway API parked: it gets no request any more, and its backends stay in it until it is deleted.

A gateway may hear that a backend is gone before it hears that the route to it is: Contour sends its Envoy clusters and routes on
streams of their own, and requests in between get an empty 503. So a route loses its requests first. Its hosts give way to others
that nobody asks for; a route without hosts is for all of them, and then each match asks for a header that nobody sends.

The new hosts are in the domains of the old ones, since a listener may serve no others. One that serves just the old host drops the
route at once, as if it were deleted. A header would spare that too, but not a route by which another listener takes the host over.
"""

import hashlib
from typing import Any

from luntra_operator.api.vocabulary import HEADER_PARKED, HOST_PARKED

Object = dict[str, Any]

_LONGEST_HOST = 253
_MOST_HEADERS = 16
"""Of one match, as the Gateway API allows."""


def parked(route: Object, kind: str) -> list[Object]:
    """JSON Patch operations (RFC 6902) on the spec of a live route of that kind; none where it has no rules."""
    hostnames, rules = route["spec"].get("hostnames"), route["spec"].get("rules")
    if not rules:
        return []
    if hostnames:
        identity = f"{kind}/{route['metadata']['namespace']}/{route['metadata']['name']}"
        label = f"{HOST_PARKED}-{hashlib.sha256(identity.encode()).hexdigest()[:10]}"
        hosts = dict.fromkeys(_beside(hostname, label) for hostname in hostnames)
        return [{"op": "add", "path": "/spec/hostnames", "value": list(hosts)}]
    marked = [{**rule, "matches": [_marked(match) for match in rule.get("matches") or [{}]]} for rule in rules]
    return [{"op": "add", "path": "/spec/rules", "value": marked}]


def revived(route: Object) -> list[Object]:
    """Operations that take the header out again; hosts come back with the frame."""
    rules = route["spec"].get("rules") or []
    cleared = [
        {**rule, "matches": [_cleared(match) for match in rule["matches"]]} if rule.get("matches") else rule
        for rule in rules
    ]
    return [] if cleared == rules else [{"op": "add", "path": "/spec/rules", "value": cleared}]


def _beside(hostname: str, label: str) -> str:
    """A name in the domain of a host, or below a wildcard."""
    host = f"{label}.{hostname.partition('.')[2] or 'invalid'}"
    return host if len(host) <= _LONGEST_HOST else f"{label}.invalid"


def _marked(match: Object) -> Object:
    headers = match.get("headers") or []
    if len(headers) == _MOST_HEADERS:
        return match
    return {**match, "headers": [*headers, {"type": "Exact", "name": HEADER_PARKED, "value": "true"}]}


def _cleared(match: Object) -> Object:
    headers = match.get("headers") or []
    left = [one for one in headers if one["name"] != HEADER_PARKED]
    if left == headers:
        return match
    rest = {key: value for key, value in match.items() if key != "headers"}
    return {**rest, "headers": left} if left else rest
