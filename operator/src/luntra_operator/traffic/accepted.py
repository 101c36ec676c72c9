"""What `spec.traffic` said that live objects were written for, as far as they still tell.

It is asked where today's section cannot be read. One provider of several is enough: what the others have in their objects gets the
same weights, as do objects that the spec names no more.
"""

from pydantic import ValidationError

from luntra_operator.api.kinds import HTTP_ROUTE, VIRTUAL_SERVICE
from luntra_operator.api.traffic import ParentReference, Traffic

from . import preview
from .owned import is_parked
from .provider import Endpoint, Found, Object, Ref


def accepted(endpoint: Endpoint, found: Found) -> Traffic | None:
    """The section; None without an object of ours that serves, or one of the user's that is lent."""
    for said in (_http_route(endpoint, found), _virtual_service(endpoint, found), _lent(endpoint, found)):
        if said is not None:
            try:
                return Traffic.model_validate(said)
            except ValidationError:
                continue  # somebody has written into it what no section says
    return None


def _http_route(endpoint: Endpoint, found: Found) -> Object | None:
    route = _ours(endpoint, found, Ref(HTTP_ROUTE, endpoint.name))
    if route is None:
        return None
    known = {field.alias or name for name, field in ParentReference.model_fields.items()}
    parents = [{key: ref[key] for key in known & ref.keys()} for ref in route["spec"].get("parentRefs") or []]
    rules = route["spec"].get("rules") or []
    ordinary: Object = next((rule for rule in rules if not preview.is_preview(rule)), {})
    gateway = {"parentRefs": parents, "hostnames": route["spec"].get("hostnames"), "matches": ordinary.get("matches")}
    return {"gateway": {**gateway, "preview": preview.declared(rules)}}


def _virtual_service(endpoint: Endpoint, found: Found) -> Object | None:
    service = _ours(endpoint, found, Ref(VIRTUAL_SERVICE, endpoint.name))
    if service is None:
        return None
    return {"istio": {"gateways": service["spec"].get("gateways"), "hosts": service["spec"].get("hosts")}}


def _lent(endpoint: Endpoint, found: Found) -> Object | None:
    """Today's rule if it can be read and is lent; else one of which our backends in it tell."""
    lent = [name for name in endpoint.adopted if found.get(Ref(HTTP_ROUTE, name)) is not None]
    today = endpoint.spec.adopted
    if not lent:
        return None
    rule = today.model_dump(exclude_none=True) if today and today.name in lent else {"name": lent[0]}
    return {"gateway": {"mode": "Adopted", "routeRef": rule}}


def _ours(endpoint: Endpoint, found: Found, ref: Ref) -> Object | None:
    body = found.get(ref)
    return body if body is not None and endpoint.owns(body) and not is_parked(body) else None
