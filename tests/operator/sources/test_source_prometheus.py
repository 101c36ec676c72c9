"""What the operator asks a Prometheus, and what it makes of the answers. A real one is asked in the integration tests."""

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from luntra_operator.api.sources import PrometheusQuery, SecretKey
from luntra_operator.sources.errors import Misconfigured, SourceError, TemplateError, Unavailable
from luntra_operator.sources.hosts import parse
from luntra_operator.sources.opened import opened
from luntra_operator.sources.prometheus import number
from luntra_operator.sources.target import Target
from tests.operator.sources.conftest import Borrower, Rig, Site

TOKEN = SecretKey(name="access", key="token")


def answer(result: Any, kind: str = "vector") -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}})


def series(value: str, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "value": [1700000000.0, value]}


async def test_query_is_filled_in_and_asked_for_this_instant(site: Site, rig: Rig, target: Target) -> None:
    site.body = answer([series("0.25")])
    query = PrometheusQuery(query='rate(errors{revision="{{ revision }}"}[{{ window }}])', timeout="3s")
    assert await rig.prometheus.value(query, target) == 0.25
    (asked,) = site.asked
    assert (asked.method, asked.path) == ("GET", "/api/v1/query")
    assert dict(asked.query) == {"query": 'rate(errors{revision="0a1b2c3d4e"}[30s])', "timeout": "3s"}
    assert "Authorization" not in asked.headers


async def test_prefix_of_an_address_is_kept(site: Site, rig: Rig, target: Target) -> None:
    site.body = answer([1700000000.0, "1"], "scalar")
    assert await rig.prometheus.value(PrometheusQuery(query="1", address=f"{site.url}/team/prometheus/"), target) == 1
    assert site.asked[0].path == "/team/prometheus/api/v1/query"


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ([1700000000.0, "0.5"], 0.5),
        ([1700000000, "-3e2"], -300.0),
        ([series("7", pod="a")], 7.0),
        ([series("0")], 0.0),
        ([], None),
        ([series("NaN")], None),
        ([series("+Inf")], None),
        ([series("-Inf")], None),
        ([1700000000.0, "NaN"], None),
    ],
)
def test_what_is_a_number_and_what_is_no_data(result: Any, value: float | None) -> None:
    assert number(result) == value


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ([series("1", pod="a"), series("1", pod="b")], "gives 2 series, and one is needed: aggregate them"),
        ([{"metric": {}, "values": [[1, "1"]]}], "gives a range of values"),
        ([{"metric": {}, "histogram": [1, {"count": "1"}]}], "gives a native histogram"),
    ],
)
def test_result_that_is_not_one_number_says_what_to_do(result: Any, told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        number(result)


@pytest.mark.parametrize(
    "body",
    ['{"data": {"result": null}}', "<html>log in</html>", "", "null", "[]", "{}", '{"data": 1}', '{"data": {"result": 5}}',
     answer([5, 6, 7]), answer([[1]]),
     answer([{"metric": {}}]), answer([series("many")]), answer([1.0, "a name"], "string"), "[" * 100_000, b"\xff\xfe\x00"],
)  # fmt: skip
async def test_what_is_no_prometheus_is_told_and_not_quoted(
    site: Site, rig: Rig, target: Target, body: str | bytes
) -> None:
    site.body = body
    with pytest.raises(Misconfigured, match="does not answer as a Prometheus does") as refused:
        await rig.prometheus.value(PrometheusQuery(query="1"), target)
    assert "log in" not in str(refused.value)


async def test_refused_query_is_told_without_the_words_of_the_server(site: Site, rig: Rig, target: Target) -> None:
    site.status, site.body = 400, '{"status":"error","errorType":"bad_data","error":"parse error: 1:1 hush"}'
    with pytest.raises(Misconfigured, match="answered 400: check the address, and what is asked") as refused:
        await rig.prometheus.value(PrometheusQuery(query="("), target)
    assert "hush" not in str(refused.value)


async def test_address_must_be_known_and_listed(site: Site, rig: Rig, target: Target) -> None:
    rig.prometheus._address = ""
    with pytest.raises(Misconfigured, match=r"address is missing.*set sources.prometheus"):
        await rig.prometheus.value(PrometheusQuery(query="1"), target)
    with pytest.raises(Misconfigured, match=r"metadata.internal:80 is not among the hosts"):
        await rig.prometheus.value(PrometheusQuery(query="1", address="http://metadata.internal"), target)
    assert site.asked == []


async def test_template_that_cannot_be_filled_asks_nobody(site: Site, rig: Rig, target: Target) -> None:
    with pytest.raises(TemplateError, match="no stable version yet"):
        await rig.prometheus.value(PrometheusQuery(query="{{ stableRevision }}"), replace(target, stable_revision=None))
    assert site.asked == []


async def test_token_is_the_objects_own_and_kept_for_a_short_time(site: Site, rig: Rig, target: Target) -> None:
    site.body = answer([])
    query = PrometheusQuery(query="1", bearer_token_secret_ref=TOKEN)
    rig.secrets.kept["team-b", "access", "token"] = "somebody else's"
    with pytest.raises(Misconfigured, match="no access with a key token in namespace team-a"):
        await rig.prometheus.value(query, target)
    rig.secrets.kept["team-a", "access", "token"] = "first\n"
    await rig.prometheus.value(query, target)
    reads, rig.secrets.kept["team-a", "access", "token"] = rig.secrets.reads, "second"
    await rig.prometheus.value(query, target)
    assert rig.secrets.reads == reads
    rig.clock.now += 60
    await rig.prometheus.value(query, target)
    assert [asked.headers["Authorization"] for asked in site.asked] == ["Bearer first", "Bearer first", "Bearer second"]


async def test_same_name_in_another_namespace_is_another_secret(site: Site, rig: Rig, target: Target) -> None:
    site.body = answer([])
    rig.secrets.kept["team-a", "access", "token"] = "ours"
    rig.secrets.kept["team-b", "access", "token"] = "theirs"
    query = PrometheusQuery(query="1", bearer_token_secret_ref=TOKEN)
    for namespace in ("team-a", "team-b", "team-a"):
        await rig.prometheus.value(query, replace(target, namespace=namespace))
    assert [asked.headers["Authorization"] for asked in site.asked] == ["Bearer ours", "Bearer theirs", "Bearer ours"]


@pytest.mark.parametrize("token", ["", " \n", "two\r\nX-Evil: 1", "t\u00f6ken", "a\x00b"])
async def test_token_that_is_none_is_neither_sent_nor_told(
    site: Site, rig: Rig, target: Target, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig.secrets.kept["team-a", "access", "token"] = token
    with pytest.raises(Misconfigured, match="key token of Secret access is empty, or no single line") as refused:
        await rig.prometheus.value(PrometheusQuery(query="1", bearer_token_secret_ref=TOKEN), target)
    assert site.asked == []
    assert "Evil" not in str(refused.value)


async def test_refused_token_is_in_no_message_and_no_log(
    site: Site, rig: Rig, target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    rig.secrets.kept["team-a", "access", "token"] = "hush-hush"
    site.status = 401
    with pytest.raises(Misconfigured, match="it wants another token") as refused:
        await rig.prometheus.value(PrometheusQuery(query="1", bearer_token_secret_ref=TOKEN), target)
    chain: BaseException | None = refused.value
    while chain is not None:
        assert "hush-hush" not in repr(chain)
        chain = chain.__cause__ or chain.__context__
    assert "hush-hush" not in caplog.text


async def test_prometheus_that_hangs_costs_its_time_and_no_thread_for_longer(
    site: Site, rig: Rig, target: Target
) -> None:
    site.answer = site.hang
    query = PrometheusQuery(query="1", timeout="1s")
    with pytest.raises(Unavailable, match="gave no whole answer within 1 s"):
        await rig.prometheus.value(query, target)
    site.answer, site.body = None, answer([series("3")])
    patient = PrometheusQuery(query="1", timeout="30s")
    assert await rig.prometheus.value(patient, replace(target, namespace="team-b")) == 3.0
    with pytest.raises(Unavailable, match="it is asked again in 1 s"):
        await rig.prometheus.value(patient, target)
    rig.clock.now += 2
    assert await rig.prometheus.value(patient, target) == 3.0


async def test_many_that_hang_leave_the_loops_own_threads_alone(site: Site, rig: Rig, target: Target) -> None:
    site.answer = site.hang
    query = PrometheusQuery(query="1", timeout="1s")
    asking = [asyncio.create_task(rig.prometheus.value(query, replace(target, namespace=f"n{n}"))) for n in range(40)]
    await site.arrived.wait()
    assert await asyncio.to_thread(lambda: threading.current_thread() is not threading.main_thread())
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(one) for one in told} == {Unavailable}
    assert sum(thread.name.startswith("test-sources") for thread in threading.enumerate()) <= 2


async def test_wait_for_a_thread_is_within_the_time_limit(site: Site, rig: Rig, target: Target) -> None:
    released = threading.Event()
    for _ in range(2):
        rig.threads.submit(released.wait)
    try:
        with pytest.raises(Unavailable, match="gave no whole answer within 1 s"):
            await rig.prometheus.value(PrometheusQuery(query="1", timeout="1s"), target)
    finally:
        released.set()
    assert site.asked == []


async def test_environments_proxy_and_passwords_are_not_used(
    site: Site, rig: Rig, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    site.body = answer([series("3")])
    assert await rig.prometheus.value(PrometheusQuery(query="1"), target) == 3.0


async def test_authority_comes_from_either_kind_of_object(site: Site, rig: Rig, target: Target) -> None:
    for refs in ({"caSecretRef": {"name": "ca", "key": "pem"}}, {"caConfigMapRef": {"name": "ca", "key": "pem"}}):
        query = PrometheusQuery.model_validate({"query": "1", **refs})
        with pytest.raises(SourceError, match="there is no ca with a key pem in namespace team-a"):
            await rig.prometheus.value(query, target)
    assert (rig.secrets.reads, rig.config_maps.reads) == (1, 1)


async def test_secret_that_is_far_too_long_is_not_kept(site: Site, rig: Rig, target: Target) -> None:
    rig.secrets.kept["team-a", "access", "token"] = "x" * 70_000
    with pytest.raises(Misconfigured, match="key token of Secret access is longer than 64 KiB"):
        await rig.prometheus.value(PrometheusQuery(query="1", bearer_token_secret_ref=TOKEN), target)
    assert site.asked == []


async def test_end_of_the_operator_leaves_no_thread_waiting(site: Site, target: Target) -> None:
    site.answer = site.hang
    async with opened(parse("127.0.0.1"), Borrower(), Borrower(), site.url) as sources:
        asking = asyncio.create_task(sources.prometheus.value(PrometheusQuery(query="1", timeout="30s"), target))
        await site.arrived.wait()
        waiting = [thread for thread in threading.enumerate() if thread.name.startswith("sources")]
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert waiting
    for thread in waiting:
        await asyncio.to_thread(thread.join, 20)
        assert not thread.is_alive()
