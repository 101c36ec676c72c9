"""The operator may do what its code does, and nothing else.

What the code does is read from its source: every call `kube.<verb>(kinds.<KIND>, ...)`, the kinds that it watches, and those of
the providers of traffic.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from luntra_operator.api import vocabulary
from luntra_operator.controller import relist
from luntra_operator.kube import kinds
from luntra_operator.runtime import lease, watches
from luntra_operator.traffic import routes

Object = dict[str, Any]
Render = Callable[..., list[Object]]
Permission = tuple[str, str, str]
"""API group, resource (with its subresource), verb."""

SOURCE = Path(kinds.__file__).parents[1]
VERBS = {
    "get": ("get",),
    "list": ("list",),
    "create": ("create",),
    "apply": ("create", "patch"),
    "patch": ("patch",),
    "merge": ("patch",),
    "replace": ("update",),
    "replace_status": ("update",),
    "delete": ("delete",),
}


def calls(path: Path) -> Iterator[tuple[str, kinds.Kind]]:
    """Methods of the client that a module calls, with the kinds that it may call them for: those that the function names."""
    module = ast.parse(path.read_text())
    tables = {
        ast.unparse(statement.targets[0]): [kind for node in ast.walk(statement) if (kind := _kind(node)) is not None]
        for statement in module.body
        if isinstance(statement, ast.Assign)
    }
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        named = [kind for node in ast.walk(function) if (kind := _kind(node)) is not None]
        named += [kind for node in ast.walk(function) if isinstance(node, ast.Name) for kind in tables.get(node.id, ())]
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            if node.func.attr in VERBS and "kube" in ast.unparse(node.func.value):
                direct = _kind(node.args[0])
                yield from ((node.func.attr, kind) for kind in ([direct] if direct else named))


def _kind(node: ast.AST) -> kinds.Kind | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "kinds":
        found = getattr(kinds, node.attr)
        return found if isinstance(found, kinds.Kind) else None
    return None


def needed() -> set[Permission]:
    """What the code of the operator does (the command line acts as its user)."""
    found: set[Permission] = set()
    for folder in ("controller", "runtime"):
        for path in (SOURCE / folder).glob("*.py"):
            for method, kind in calls(path):
                subresource = "/status" if method == "replace_status" else ""
                found |= {(kind.group, kind.plural + subresource, verb) for verb in VERBS[method]}
    # Providers of traffic return what they want written as data.
    moving = [VERBS[method] for method in ("get", "create", "patch", "delete")]
    found |= {(kind.group, kind.plural, verb) for kind in routes.KINDS for verbs in moving for verb in verbs}
    found |= {(kind.group, kind.plural, verb) for kind in watches.WATCHED for verb in ("list", "watch")}
    found |= {(kind.group, kind.plural, "list") for kind in relist.CHILDREN}
    # Owner references that block the owner's deletion need this where the API server enforces it.
    found.add((kinds.MODEL_DEPLOYMENT.group, f"{kinds.MODEL_DEPLOYMENT.plural}/finalizers", "update"))
    return found


def granted(roles: list[Object]) -> set[Permission]:
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def readable(permissions: set[Permission]) -> set[Permission]:
    """Without `get` where `list` is granted, which shows the same and more."""
    return {one for one in permissions if one[2] != "get" or (*one[:2], "list") not in permissions}


def roles(objects: list[Object], kind: str, ending: str = "") -> list[Object]:
    return [body for body in objects if body["kind"] == kind and body["metadata"]["name"] == f"luntra{ending}"]


def test_source_is_understood() -> None:
    found = needed()
    for permission in (
        ("apps", "deployments", "patch"),
        ("", "configmaps", "create"),
        ("batch", "jobs", "delete"),
        ("luntra.io", "modeldeployments/status", "update"),
        ("coordination.k8s.io", "leases", "update"),
        ("gateway.networking.k8s.io", "gateways", "get"),
        ("", "events", "create"),
    ):
        assert permission in found


def test_everything_that_the_code_does_is_granted(render: Render) -> None:
    objects = render()
    given = granted([*roles(objects, "ClusterRole"), *roles(objects, "Role", "-own")])
    given |= {(group, resource, "get") for group, resource, verb in given if verb == "list"}
    assert needed() - given == set()


def test_nothing_is_granted_that_the_code_does_not_do(render: Render) -> None:
    objects = render()
    given = granted([*roles(objects, "ClusterRole"), *roles(objects, "Role", "-own")])
    assert readable(given) - readable(needed()) == set()


def test_no_rule_grants_more_than_it_names(render: Render) -> None:
    everything = granted([body for body in render() if body["kind"] in ("Role", "ClusterRole")])
    assert not any("*" in permission for permission in everything)
    elsewhere = granted([body for body in render() if body["kind"] == "ClusterRole"])
    assert not any(resource == "secrets" for _, resource, _ in elsewhere)


def test_secrets_of_users_may_be_read_only_where_that_is_asked_for(render: Render) -> None:
    for values in ({"sources": {"secrets": True}}, {"sources": {"secrets": True}, "watchNamespaces": ["team-a"]}):
        with_secrets, without = (granted(roles(render(one), "ClusterRole")) for one in (values, {}))
        assert with_secrets - without == {("", "secrets", "get")}


def test_watches_may_see_namespaces_and_crds_and_change_neither(render: Render) -> None:
    assert granted(roles(render(), "ClusterRole", "-discovery")) == {
        (group, resource, verb)
        for group, resource in (("", "namespaces"), ("apiextensions.k8s.io", "customresourcedefinitions"))
        for verb in ("list", "watch")
    }


def test_only_its_own_lease_and_keys_may_be_read_and_changed(render: Render) -> None:
    (role,) = roles(render(), "Role", "-own")
    assert role["metadata"]["namespace"] == "luntra-system"
    named = {"leases": [lease.NAME], "secrets": [vocabulary.KEY_STORE]}
    for rule in role["rules"]:
        (resource,) = rule["resources"]
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == named[resource]


def test_operator_of_some_namespaces_has_no_rights_elsewhere(render: Render) -> None:
    objects = render({"watchNamespaces": ["team-a", "team-b"]})
    cluster_wide = [body["roleRef"]["name"] for body in objects if body["kind"] == "ClusterRoleBinding"]
    assert cluster_wide == ["luntra-discovery"]
    bound = {
        (body["metadata"]["namespace"], body["roleRef"]["name"]) for body in objects if body["kind"] == "RoleBinding"
    }
    assert bound == {("team-a", "luntra"), ("team-b", "luntra"), ("luntra-system", "luntra-own")}
    for body in objects:
        if body["kind"].endswith("Binding"):
            (subject,) = body["subjects"]
            assert (subject["name"], subject["namespace"]) == ("luntra", "luntra-system")
