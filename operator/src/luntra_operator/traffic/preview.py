"""A preview: one more rule of our route, by which requests with a certain header reach the candidate alone.

It stands before our ordinary rule and has the same matches, with the header. It marks its requests, so that whoever judges the
candidate by its traffic can leave them out; and where previews are declared the ordinary rule takes the mark off what clients
send, so that nobody else's requests can hide. By that mark the rule is found again, wherever somebody may have moved it. A rule
of somebody else is never taken for it. Pure; rules come as read and are not changed in place.
"""

from typing import Any

from luntra_operator.api.traffic import PreviewHeader
from luntra_operator.api.vocabulary import HEADER_PREVIEW

Object = dict[str, Any]

_MODIFIER = "RequestHeaderModifier"


def is_preview(rule: Object) -> bool:
    """Whether a rule is ours and leads to a candidate by a header."""
    marks = [one for kept in _modifiers(rule) for one in kept.get("requestHeaderModifier", {}).get("set") or []]
    return any(one["name"] == HEADER_PREVIEW for one in marks)


def leads_to(rules: list[Object]) -> str | None:
    """The workload that the preview leads to, None without a preview; empty where somebody has taken its backend out."""
    found = next((rule for rule in rules if is_preview(rule)), None)
    return None if found is None else ",".join(ref["name"] for ref in found.get("backendRefs") or [])


def declared(rules: list[Object]) -> Object | None:
    """What the spec said of the preview that is there: its header is the last one of the rule's matches."""
    found = next((rule for rule in rules if is_preview(rule)), {})
    headers = [header for match in found.get("matches") or [] for header in (match.get("headers") or [])[-1:]]
    return {"header": {"name": headers[0]["name"], "value": headers[0]["value"]}} if headers else None


def arranged(rules: list[Object], place: int, header: PreviewHeader | None, backend: Object | None) -> list[Object]:
    """The rules with a preview to `backend` before the one at `place`, or with none; what others added to it stays."""
    before, after = ([rule for rule in part if not is_preview(rule)] for part in (rules[:place], rules[place:]))
    if header is None or backend is None:
        return [*before, *after]
    mark = {"type": _MODIFIER, "requestHeaderModifier": {"set": [{"name": HEADER_PREVIEW, "value": "true"}]}}
    known = next((rule for rule in rules if is_preview(rule)), {"filters": [mark]})
    matches = [_with_header(match, header) for match in rules[place].get("matches") or [{}]]
    return [*before, {**known, "matches": matches, "backendRefs": [backend]}, *after]


def _with_header(match: Object, header: PreviewHeader) -> Object:
    """A match that wants the header, too; the API knows each header once, whatever its case."""
    others = [one for one in match.get("headers") or [] if one["name"].lower() != header.name.lower()]
    return {**match, "headers": [*others, {"type": "Exact", "name": header.name, "value": header.value}]}


def guarded(rule: Object, on: bool) -> Object:
    """The ordinary rule, taking the mark off requests or not; the API allows one filter of the type, perhaps somebody's."""
    known: Object = next(iter(_modifiers(rule)), {"type": _MODIFIER})
    modifier: Object = known.get("requestHeaderModifier", {})
    removed = modifier.get("remove") or []
    if on == (HEADER_PREVIEW in removed):
        return rule
    left = [*removed, HEADER_PREVIEW] if on else [name for name in removed if name != HEADER_PREVIEW]
    kept = {key: value for key, value in modifier.items() if key != "remove"} | ({"remove": left} if left else {})
    filters = list(rule.get("filters") or [])
    place = filters.index(known) if known in filters else len(filters)
    filters[place : place + 1] = [{**known, "requestHeaderModifier": kept}] if kept else []
    without = {key: value for key, value in rule.items() if key != "filters"}
    return {**without, "filters": filters} if filters else without


def _modifiers(rule: Object) -> list[Object]:
    return [one for one in rule.get("filters") or [] if one["type"] == _MODIFIER]
