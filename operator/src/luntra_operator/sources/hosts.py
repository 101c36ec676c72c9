"""Which hosts the operator may ask for metrics, and which addresses are never connected to. Pure.

The operator stands where its users do not: it reaches other namespaces and the node's own network. So a URL that a
user writes is asked only where the operator's administrator has listed the host (setting LUNTRA_SOURCE_HOSTS); with an empty list
nothing is, but for the Prometheus that is a setting itself. An entry is `host`, `host:port`, `*.suffix` or `*.suffix:port`,
without a port for all of them; `{namespace}` in it is the namespace of whoever asks, so that `*.{namespace}.svc` lets each reach the
Services of its own.

A listed name may still resolve to anything, and to something else the next time. `refusal` tells of each address that is about
to be connected to.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from yarl import URL

from .errors import Misconfigured

NAMESPACE: Final = "{namespace}"

_LABEL = r"(?:[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?|\{namespace\})"
_ENTRY = re.compile(rf"(?P<any>\*\.)?(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?")

_METADATA: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local; AWS, Azure, Google and others
        "fe80::/10",
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle
    )
)
_NOWHERE: Final = ipaddress.ip_network("0.0.0.0/8")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the list; `any_below` for `*.host`, `port` None for all ports."""

    host: str
    any_below: bool = False
    port: int | None = None

    def admits(self, host: str, port: int, namespace: str) -> bool:
        """Whether it lists this host and port for an object in `namespace`."""
        own = self.host.replace(NAMESPACE, namespace)
        named = host.endswith(f".{own}") if self.any_below else host == own
        return named and self.port in (None, port)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The operator's list."""

    entries: tuple[Entry, ...] = ()

    def admit(self, url: str, namespace: str) -> URL:
        """The URL, if an object in `namespace` may have it asked.

        Raises:
            Misconfigured: it may not, or it is no URL of http or https.
        """
        try:
            read = URL(url)
            host, port = (read.raw_host or "").lower().rstrip("."), read.port
        except ValueError as error:
            raise Misconfigured("the address is no URL; write it like https://host:port/path") from error
        if read.scheme not in ("http", "https") or not host or port is None or "@" in read.raw_authority:
            raise Misconfigured("the address must be http:// or https://, with a host and without a user's name")
        if not any(entry.admits(host, port, namespace) for entry in self.entries):
            raise Misconfigured(
                f"{host}:{port} is not among the hosts that the operator may ask: have it added to sources.hosts of Luntra's chart"
            )
        if _literal(host) and (why := self.refusal(host, host)):
            raise Misconfigured(f"{host} is never asked: it is {why}")
        return read

    def refusal(self, host: str, address: str) -> str | None:
        """What is wrong with an address that `host` resolves to; None where it may be connected to."""
        ip = _inner(ipaddress.ip_address(address.partition("%")[0]))
        if any(ip.version == network.version and ip in network for network in _METADATA):
            return "a link-local address or one of a cloud's metadata"
        if ip.is_loopback:
            own = host.lower().rstrip(".")
            listed = any(entry.host.strip("[]") == own and not entry.any_below for entry in self.entries)
            return None if listed and (own == "localhost" or _literal(own)) else "an address of the operator's own pod"
        if ip.is_multicast or ip.is_unspecified or ip.is_reserved or (ip.version == 4 and ip in _NOWHERE):
            return "no address of a host"
        return None


def parse(text: str, prometheus: str = "") -> Hosts:
    """The list of a setting, entries separated by commas, and on it the host of the operator's own Prometheus.

    Raises:
        ValueError: an entry is malformed; the message names it.
    """
    entries = [_entry(one) for part in text.split(",") if (one := part.strip().lower())]
    if prometheus:
        url = URL(prometheus)
        if url.scheme not in ("http", "https") or not url.raw_host or "@" in url.raw_authority or url.raw_query_string:
            raise ValueError(
                f"{prometheus!r} is no address of a Prometheus; write it like http://prometheus.monitoring.svc:9090"
            )
        entries.append(Entry(url.raw_host.lower(), port=url.port))
    return Hosts(tuple(entries))


def _entry(text: str) -> Entry:
    found = _ENTRY.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 0 < port < 65536):
        raise ValueError(
            f"{text!r} is no host; write host, host:port, *.suffix or *.suffix:port, {NAMESPACE} for the asker's namespace"
        )
    return Entry(found["host"].strip("[]"), bool(found["any"]), port)


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _inner(ip: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
