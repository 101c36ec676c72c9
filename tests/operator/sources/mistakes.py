"""What is wrong to write about a source of metrics: the types refuse it, and so does the API server by the CRD that they make."""

from typing import Any

REF = {"name": "s", "key": "k"}
MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("prometheus", {"query": ""}, "query"),
    ("prometheus", {"query": "1", "address": "prometheus:9090"}, "address"),
    ("prometheus", {"query": "1", "address": "http://u:p@prometheus"}, "address"),
    ("prometheus", {"query": "1", "address": "http://{{ name }}.svc"}, "address"),
    ("prometheus", {"query": "1", "address": "http://p/?x=1"}, "address"),
    ("prometheus", {"query": "1", "timeout": "500ms"}, "timeout is 500ms: give at least 1s and at most 30s"),
    ("prometheus", {"query": "1", "timeout": "31s"}, "timeout is 31s: give at least 1s and at most 30s"),
    ("prometheus", {"query": "1", "insecureSkipVerify": True}, "insecureSkipVerify"),
    ("prometheus", {"query": "1", "caSecretRef": REF, "caConfigMapRef": REF}, "leave one of them out"),
    ("prometheus", {"query": "1", "bearerTokenSecretRef": {"name": "s"}}, "key"),
    ("prometheus", {"query": "1", "bearerTokenSecretRef": {**REF, "namespace": "other"}}, "namespace"),
    ("web", {"url": "http://{{ name }}.svc/", "jsonPath": "$"}, "url"),
    ("web", {"url": "http://user@a/", "jsonPath": "$"}, "url"),
    ("web", {"url": "file:///etc/passwd", "jsonPath": "$"}, "url"),
    ("web", {"url": "http://a/", "jsonPath": ".x"}, "jsonPath"),
    ("web", {"url": "http://a/", "jsonPath": "$", "method": "POST"}, "method"),
    ("web", {"url": "http://a/", "jsonPath": "$", "headers": [{**REF, "header": "Host"}]}, "header is Host"),
    ("web", {"url": "http://a/", "jsonPath": "$", "headers": [{**REF, "header": "a b"}]}, "header"),
    ("job", {}, "image"),
    ("job", {"image": "a", "timeout": "2h"}, "timeout is 2h: give at least 1s and at most 3600s"),
    ("job", {"image": "a", "env": [{"name": "A"}]}, "env A: give either value or secretKeyRef"),
    ("job", {"image": "a", "env": [{"name": "A", "value": "1", "secretKeyRef": REF}]}, "env A: give either"),
    ("job", {"image": "a", "env": [{"name": "LUNTRA_NAME", "value": "x"}]}, "begin with LUNTRA_"),
    ("job", {"image": "a", "securityContext": {}}, "securityContext"),
]
"""The block, what is given there, and what the refusal must say."""
