"""A number from a URL, and from the JSON that it answers."""

import json
from typing import Any

import pytest

from luntra_operator.api.sources import SecretHeader, WebQuery
from luntra_operator.sources.errors import Misconfigured, Unavailable
from luntra_operator.sources.json_path import compiled_path, find
from luntra_operator.sources.target import Target
from tests.operator.sources.conftest import Rig, Site

DOCUMENT = {
    "data": [{"name": "errors", "value": 0.1}, {"name": "latency", "value": "12.5"}, {"name": "none", "value": None}],
    "deep": {"er": [1, [2, 3]]},
    "true": True,
    "text": "many",
    "huge": "1e999",
}


async def test_url_is_filled_in_and_asked_with_headers_from_secrets(site: Site, rig: Rig, target: Target) -> None:
    site.body = json.dumps(DOCUMENT)
    rig.secrets.kept["team-a", "access", "key"] = "k-1\n"
    query = WebQuery(
        url=f"{site.url}/v1/{{{{ name }}}}?since={{{{window}}}}&of={{{{ revision }}}}",
        json_path="$.data[?@.name=='errors'].value",
        headers=[SecretHeader(name="access", key="key", header="X-Api-Key")],
    )
    assert await rig.web.value(query, target) == 0.1
    (asked,) = site.asked
    assert (asked.method, asked.path_qs) == ("GET", "/v1/gas-price?since=30s&of=0a1b2c3d4e")
    assert asked.headers["X-Api-Key"] == "k-1"


async def test_host_that_is_not_listed_is_not_asked(site: Site, rig: Rig, target: Target) -> None:
    query = WebQuery(url=site.url.replace("127.0.0.1", "localhost"), json_path="$.a")
    with pytest.raises(Misconfigured, match=r"sources.hosts"):
        await rig.web.value(query, target)
    assert site.asked == []


async def test_source_that_fails_is_left_alone_for_all_its_paths(site: Site, rig: Rig, target: Target) -> None:
    site.status = 503
    with pytest.raises(Unavailable, match=r"answered 503$"):
        await rig.web.value(WebQuery(url=f"{site.url}/a", json_path="$.a"), target)
    with pytest.raises(Unavailable, match="answered 503; it is asked again"):
        await rig.web.value(WebQuery(url=f"{site.url}?b", json_path="$.a"), target)
    assert len(site.asked) == 1


async def test_answer_that_is_no_json_is_told_and_not_quoted(site: Site, rig: Rig, target: Target) -> None:
    site.body = "root:x:0:0"
    with pytest.raises(Misconfigured, match="the answer is no JSON") as refused:
        await rig.web.value(WebQuery(url=site.url, json_path="$.a"), target)
    assert "root" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.data[0].value", 0.1),
        ("$['data'][1]['value']", 12.5),
        ("$.data[-1].value", None),
        ("$.data[?@.name=='latency'].value", 12.5),
        ("$.data[?@.name=='absent'].value", None),
        ("$.data[1:2].value", 12.5),
        ("$.deep.er[1][1]", 3.0),
        ("$.absent", None),
        ("$.huge", None),
    ],
)
def test_path_finds_a_number_or_nothing(path: str, value: float | None) -> None:
    assert find(json.dumps(DOCUMENT).encode(), path) == value


@pytest.mark.parametrize("path", ["$", "$.data", "$.true", "$.text", "$.deep"])
def test_something_that_is_no_number_is_told_by_its_type_alone(path: str) -> None:
    with pytest.raises(Misconfigured, match=r"finds something that is no number \((dict|list|bool|str)\)") as refused:
        find(json.dumps(DOCUMENT).encode(), path)
    assert "many" not in str(refused.value)


def test_several_values_are_told() -> None:
    with pytest.raises(Misconfigured, match="finds 3 values, and one is needed"):
        find(json.dumps(DOCUMENT).encode(), "$.data[*].value")


@pytest.mark.parametrize(
    "path",
    [
        "$..value",
        "$.data[*].*",
        "$.data[*][?@.a]",
        "$.data[?@.x[*]]",
        "$.data[?@[?@.a==1]]",
        "$.data[?$..value]",
        "$['a','b']",
        "$.data[?match(@.name, '(a+)+$')]",
        "$.data[?search(@.name, 'x')]",
        "$.data[?length(@.name) > 1]",
        "$.data[?@.name =~ /(a+)+$/]",
        "$.data[",
        "data",
        "$.data, $.text",
        "$.data | $.text",
        "$.data[?" + "(" * 120 + "@.a" + ")" * 120 + "]..x",
        "$.data[?@.a == $..b]",
    ],
)
def test_path_that_may_take_long_or_is_none_is_refused(path: str) -> None:
    with pytest.raises(Misconfigured, match=r"cannot be read|make it simpler"):
        compiled_path(path)


@pytest.mark.parametrize("document", [b"", b"{", b"[" * 200_000, b"\xff", b'{"a": ' + b"9" * 5000 + b"}"])
def test_document_that_cannot_be_read_is_an_error_of_ours(document: bytes) -> None:
    with pytest.raises(Misconfigured, match="is no JSON"):
        find(document, "$.a")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", '"NaN"', '"inf"', "1e999", "null"])
def test_what_is_not_finite_is_no_data(value: str) -> None:
    assert find(f'{{"a": {value}}}'.encode(), "$.a") is None


def test_cost_of_a_path_grows_with_the_document() -> None:
    """Counts instead of measuring: each element is compared once, whatever the filter names."""

    class Counting(str):
        compared = 0

        def __eq__(self, other: object) -> Any:
            Counting.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = [{"n": Counting(n)} for n in range(1000)]
    assert compiled_path("$.d[?@.n == $.w].v").findall({"d": names, "w": "x"}) == []
    assert Counting.compared <= 2000
