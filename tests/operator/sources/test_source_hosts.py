"""Whom the operator may ask, and which addresses it never connects to."""

import pytest

from luntra_operator.sources.errors import Misconfigured
from luntra_operator.sources.hosts import parse

NONE = "is not among the hosts that the operator may ask"


@pytest.mark.parametrize(
    ("listed", "url"),
    [
        ("prometheus.monitoring.svc", "http://prometheus.monitoring.svc:9090/"),
        ("prometheus.monitoring.svc:9090", "http://prometheus.monitoring.svc:9090/api"),
        ("a.example, b.example:443", "https://b.example/x"),
        ("A.Example", "http://a.example./"),
        ("*.example", "http://deep.down.example/"),
        ("*.{namespace}.svc", "http://web.team-a.svc:8080/"),
        ("web.{namespace}.svc:8080", "http://web.team-a.svc:8080/"),
        ("10.1.2.3:9090", "http://10.1.2.3:9090/"),
        ("[fd12::1]:9090", "http://[fd12::1]:9090/"),
        ("xn--bcher-kva.example", "http://bücher.example/"),
    ],
)
def test_listed_host_is_admitted(listed: str, url: str) -> None:
    assert parse(listed).admit(url, "team-a").raw_host


@pytest.mark.parametrize(
    ("listed", "url"),
    [
        ("", "http://web.team-a.svc/"),
        ("a.example", "http://b.example/"),
        ("a.example", "http://a.example.evil/"),
        ("a.example", "http://evil.a.example/"),
        ("a.example:443", "http://a.example/"),
        ("a.example:80", "http://a.example:8080/"),
        ("*.example", "http://example/"),
        ("*.example", "http://evilexample/"),
        ("*.{namespace}.svc", "http://web.team-b.svc/"),
        ("*.{namespace}.svc", "http://team-a.svc/"),
        ("*.{namespace}.svc", "http://web.team-a.svc.evil/"),
    ],
)
def test_other_host_is_refused_and_the_setting_named(listed: str, url: str) -> None:
    with pytest.raises(Misconfigured, match=f"{NONE}: have it added to sources.hosts"):
        parse(listed).admit(url, "team-a")


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example@evil.example/",
        "http://a.example:x@evil.example/",
        "file:///etc/passwd",
        "gopher://a.example/",
        "//a.example/",
        "a.example",
        "http://",
        "http:///x",
        "http://a.example:99999/",
        "http://[a.example/",
        "http://a.example\\@evil.example/",
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        parse("a.example").admit(url, "team-a")


def test_operators_own_prometheus_is_listed_with_its_port_alone() -> None:
    hosts = parse("", "http://prometheus.monitoring.svc:9090/prefix")
    assert hosts.admit("http://prometheus.monitoring.svc:9090/prefix/api", "x").port == 9090
    with pytest.raises(Misconfigured, match=NONE):
        hosts.admit("http://prometheus.monitoring.svc:9091/", "x")


@pytest.mark.parametrize(
    "entry",
    ["*", "*.", "a b", "http://a", "a/b", "a:0", "a:65536", "a:x", "{name}.svc", "*a.example", "-a", "a..b", "@a"],
)
def test_malformed_entry_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host; write host, host:port") as refused:
        parse(f"good.example,{entry}")
    assert repr(entry) in str(refused.value)


@pytest.mark.parametrize("address", ["prometheus:9090", "http://", "ftp://p", "http://user@p:9090", "http://p/?x=1"])
def test_malformed_address_of_the_own_prometheus_is_named(address: str) -> None:
    with pytest.raises(ValueError, match="is no address of a Prometheus"):
        parse("", address)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "240.0.0.1",
    ],
)
def test_address_of_no_other_host_is_never_connected_to(address: str) -> None:
    assert parse("*.example").refusal("a.example", address)
    assert parse("localhost, 127.0.0.1").refusal("a.example", address)


@pytest.mark.parametrize(
    "address", ["10.96.0.10", "172.16.0.1", "192.168.1.1", "93.184.216.34", "fd12:3456::1", "2606:2800::1"]
)
def test_address_of_a_cluster_or_of_the_world_is_connected_to(address: str) -> None:
    assert parse("*.example").refusal("a.example", address) is None


def test_own_pod_is_asked_only_where_it_is_listed_as_such() -> None:
    assert parse("localhost").refusal("localhost", "127.0.0.1") is None
    assert parse("127.0.0.1").refusal("127.0.0.1", "127.0.0.1") is None
    assert parse("[::1]:9090").refusal("::1", "::1") is None
    assert parse("rebound.example").refusal("rebound.example", "127.0.0.1")
    assert parse("*.localhost").refusal("a.localhost", "127.0.0.1")
    with pytest.raises(Misconfigured, match="is never asked"):
        parse("169.254.169.254").admit("http://169.254.169.254/latest/meta-data", "x")
