"""What proxies say about a client: Forwarded (RFC 7239) and X-Forwarded-For, -Proto and -Host.

Believed only from a peer that `trusted_proxies` names, and read from the right: every proxy adds whom it has seen, so
the client is the first address that is no trusted proxy's. What stands further left anybody may have written. A proxy
sets one of the two forms and passes the other on unseen: where they disagree, neither is believed and the proxy itself
counts as the client. Never asked on the way of a call: `endpoint` calls it where a client's address or the server's own
is needed. A forwarded client is never `local`.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple, TypeVar

from fastsse._framing import Head
from fastsse.admission import Peer

T = TypeVar("T")
UNIX = "unix"
"""Among the trusted: whoever comes through a Unix socket."""
_PAIR = re.compile(r'[ \t]*([!#-\'*+.0-9A-Z^-z|~-]+)=("(?:[^"\\]|\\.)*"|[!#-\'*+.0-9:A-Z^-z|~-]+)[ \t]*(;|,|$)')
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class Forwarded:
    """A client behind a trusted proxy; takes the place of the connection's own peer."""

    __slots__ = ("_address", "local")

    def __init__(self, address: str) -> None:
        self._address = address
        self.local = False

    def address(self) -> str:
        return self._address


class Proxies:
    """Whom we believe. `trusted`: addresses and networks in their normal form, and "unix"."""

    __slots__ = ("networks", "unix")

    def __init__(self, trusted: tuple[str, ...]) -> None:
        self.unix = UNIX in trusted
        self.networks: list[IPv4Network | IPv6Network] = [ip_network(entry) for entry in trusted if entry != UNIX]

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self.networks)

    def _believes(self, peer: Peer) -> bool:
        address = _address(peer.address())
        return self.unix if address is None else self._trusts(address)

    def client(self, head: Head, peer: Peer) -> Peer:
        """Who asks: the peer, or the client that it names if it is a trusted proxy."""
        if not self._believes(peer):
            return peer
        forms = _forms(head)
        if not forms:
            return peer
        # What cannot be understood must not make a client of a proxy that limits do not count.
        address = _agreed([self._first(form.chain) for form in forms])
        return Forwarded(peer.address() or "unix" if address is None else str(address))

    def base(self, head: Head, peer: Peer) -> tuple[str | None, str | None]:
        """Scheme and authority under which the nearest proxy was asked, as far as it is trusted and says so."""
        if not self._believes(peer):
            return None, None
        forms = _forms(head)
        scheme = _agreed([form.scheme.lower() for form in forms])
        host = _agreed([form.host for form in forms])
        return scheme if scheme in ("http", "https") else None, host if _HOST.fullmatch(host or "") else None

    def _first(self, chain: list[str]) -> IPv4Address | IPv6Address | None:
        """From the right: the first that is no proxy of ours, or the last that we can read."""
        found = None
        for text in reversed(chain):
            address = _address(text)
            if address is None:
                break
            found = address
            if not self._trusts(address):
                break
        return found


class _Form(NamedTuple):
    """What one of the two forms says: the addresses in the order in which they were added, and the last of the rest."""

    chain: list[str]
    scheme: str
    host: str


def _forms(head: Head) -> list[_Form]:
    found = []
    if head.get(b"forwarded") is not None:
        elements = _elements(head)
        last = elements[-1]
        found.append(_Form([one.get("for", "") for one in elements], last.get("proto", ""), last.get("host", "")))
    chain, schemes, hosts = (_values(head, b"x-forwarded-" + name) for name in (b"for", b"proto", b"host"))
    if chain or schemes or hosts:
        found.append(_Form(chain, (schemes or [""])[-1], (hosts or [""])[-1]))
    return found


def _agreed(said: list[T]) -> T | None:
    return said[0] if said and all(one == said[0] for one in said) else None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Of `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80` and `2001:db8::1`; None for "unknown" and the like."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _values(head: Head, name: bytes) -> list[str]:
    """The entries of a list, in the order in which they were added."""
    value = head.get(name)
    return [] if value is None else [entry.strip() for entry in value.decode("latin-1").split(",")]


def _elements(head: Head) -> list[dict[str, str]]:
    """The elements of Forwarded, each with its parameters; an empty one when it is not what RFC 7239 §4 says."""
    text = (head.get(b"forwarded") or b"").decode("latin-1")
    found: list[dict[str, str]] = [{}]
    at, end = 0, ""
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            return [{}]
        name, value, end = match.groups()
        found[-1][name.lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if end == ",":
            found.append({})
        at = match.end()
    return found if not end else [{}]
