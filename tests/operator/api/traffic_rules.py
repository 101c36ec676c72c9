"""What `spec.traffic` may not say, with the rule that forbids it: judged alike by the API server (CEL) and by the operator (pydantic).

A row is what is written, the section that is refused, the value as the operator names it (CEL's budget leaves none for words made of
lists), what both say of it, with the fix, and the rule.
"""

from typing import Any

Object = dict[str, Any]

PARENTS: Object = {"parentRefs": [{"name": "gateway"}]}
ADOPTED: Object = {"mode": "Adopted", "routeRef": {"name": "shop"}}
ISTIO: Object = {"gateways": ["infra/public"], "hosts": ["digits.example"]}
_REF = (
    "routeRef goes with mode: Adopted, and mode: Adopted needs routeRef: {name: <your HTTPRoute>}",
    "has(self.mode) && self.mode == 'Adopted' ? has(self.routeRef) : !has(self.routeRef)",
)
_PARENTS = (
    "parentRefs is missing; name the Gateways that the route attaches to, or adopt a route of yours with mode: Adopted and routeRef",
    "has(self.mode) && self.mode == 'Adopted' || has(self.parentRefs)",
)
_GIVEN = ("with mode: Adopted, where your own route says it; remove ", "!has(self.mode) || self.mode != 'Adopted' || ")
_SECTION = "spec.traffic.gateway"

ROWS: list[tuple[Object, str, str, str, str]] = [
    (
        {"gateway": PARENTS, "istio": ISTIO},
        "spec.traffic",
        "gateway and istio",
        "gateway and istio exclude each other: one of them divides the traffic; remove the other",
        "!has(self.gateway) || !has(self.istio)",
    ),
    (
        {"gateway": {**PARENTS, "hostnames": ["a.b"], "grpc": {"hostnames": ["c.d", "a.b"]}}},
        _SECTION,
        "grpc.hostnames[1]: a.b",
        "is in hostnames too, but a Gateway takes a host for HTTP or for gRPC; give gRPC a host of its own",
        "!has(self.grpc) || !has(self.hostnames) || self.grpc.hostnames.all(h, !(h in self.hostnames))",
    ),
    ({"gateway": {"mode": "Adopted"}}, _SECTION, "routeRef", *_REF),
    ({"gateway": {**PARENTS, "routeRef": {"name": "shop"}}}, _SECTION, "routeRef", *_REF),
    ({"gateway": {**PARENTS, "mode": "Owned", "routeRef": {"name": "shop"}}}, _SECTION, "routeRef", *_REF),
    ({"gateway": {}}, _SECTION, "parentRefs", *_PARENTS),
    ({"gateway": {"mode": "Owned", "hostnames": ["a.b"]}}, _SECTION, "parentRefs", *_PARENTS),
    ({"gateway": {**ADOPTED, **PARENTS}}, _SECTION, "parentRefs: ", *_GIVEN),
    (
        {"gateway": {**ADOPTED, "hostnames": ["a.b"], "grpc": {"hostnames": ["c.d"]}}},
        _SECTION,
        "hostnames, grpc: ",
        *_GIVEN,
    ),
    (
        {"gateway": {**ADOPTED, "matches": [{}], "preview": {"header": {"name": "x", "value": "y"}}}},
        _SECTION,
        "matches, preview: ",
        *_GIVEN,
    ),
    (
        {"istio": {**ISTIO, "gateways": ["infra/public", "mesh"]}},
        "spec.traffic.istio",
        "gateways: 'mesh'",
        "'mesh' means the sidecars of all clients, which is not supported; name a Gateway, e.g. istio-ingress/public",
        "!self.gateways.exists(g, g == 'mesh')",
    ),
]
