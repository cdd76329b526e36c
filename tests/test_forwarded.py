"""Forwarded headers: who is believed, whom they name, and what strangers cannot make of them."""

from __future__ import annotations

import string
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import ABROAD, HERE, Peer, Place, head, message, told
from fastsse.config import Config
from fastsse.errors import ConfigError
from fastsse.forwarded import Proxies

INSIDE = Peer("10.0.0.1")
THROUGH_UNIX = Peer("")
HELLO = message(
    "initialize",
    {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
)


def client(peer: Peer = INSIDE, trusted: tuple[str, ...] = ("10.0.0.0/8", "2001:db8:1::/48"), /, **fields: Any) -> str:
    """The address of the client of a request with these headers."""
    return Proxies(Config(trusted_proxies=trusted).trusted_proxies).client(head(**fields), peer).address()


@pytest.mark.requirement("D-proxies")
@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("203.0.113.5:4711", "203.0.113.5"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("203.0.113.5, 10.0.0.2", "203.0.113.5"),
        ("203.0.113.5,10.0.0.2 ,\t2001:db8:1::9", "203.0.113.5"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),  # a client inside, as far as anybody says
        ("198.51.100.1, 203.0.113.5, 10.0.0.2", "203.0.113.5"),  # what stands left of it, it may have written itself
        ("127.0.0.1, 203.0.113.5", "203.0.113.5"),
        ("unknown, 10.0.0.2", "10.0.0.2"),
        ("unknown", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("203.0.113.5, nonsense", "10.0.0.1"),
        ("1.2.3", "10.0.0.1"),
    ],
)
def test_x_forwarded_for_is_read_from_the_right(said: str, found: str) -> None:
    assert client(x_forwarded_for=said) == found


def test_several_lines_are_one_list() -> None:
    assert client(x_forwarded_for=["198.51.100.1", "203.0.113.5", "10.0.0.2"]) == "203.0.113.5"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("for=203.0.113.5", "203.0.113.5"),
        ('For="203.0.113.5:4711";proto=http;by=10.0.0.1', "203.0.113.5"),
        ('proto=https; for="[2001:db8::7]:4711"', "2001:db8::7"),
        ('for=198.51.100.1, for=203.0.113.5;host="a,b;c", for=10.0.0.2', "203.0.113.5"),
        ('for="_hidden", for=10.0.0.2', "10.0.0.2"),
        ("for=unknown", "10.0.0.1"),
        ("by=203.0.113.5", "10.0.0.1"),
        ('for="203.0.113.5', "10.0.0.1"),
        ("203.0.113.5", "10.0.0.1"),
        ("for=203.0.113.5;", "10.0.0.1"),
        ("for=203.0.113.5,", "10.0.0.1"),
        (r'for="203.0.113\.5"', "203.0.113.5"),
    ],
)
def test_forwarded_is_read_from_the_right(said: str, found: str) -> None:
    assert client(forwarded=said) == found


def test_an_open_quote_of_the_client_swallows_what_the_proxy_adds_and_gains_nothing() -> None:
    assert client(forwarded=['for="198.51.100.1', "for=203.0.113.5"]) == "10.0.0.1"


def test_the_form_that_the_proxy_does_not_know_is_no_way_in() -> None:
    """A proxy sets one of the two and hands on the other as the client wrote it."""
    assert client(x_forwarded_for="203.0.113.5", forwarded="for=198.51.100.1") == "10.0.0.1"
    assert client(x_forwarded_for="203.0.113.5", forwarded='for="') == "10.0.0.1"
    assert client(x_forwarded_for="nonsense", forwarded="for=198.51.100.1") == "10.0.0.1"
    assert client(x_forwarded_for="203.0.113.5", forwarded="for=203.0.113.5") == "203.0.113.5"


@pytest.mark.requirement("D-proxies")
@pytest.mark.parametrize("peer", [ABROAD, HERE, THROUGH_UNIX])
def test_strangers_are_not_believed(peer: Peer) -> None:
    fields: Any = {"x_forwarded_for": "198.51.100.1", "x_forwarded_host": "evil.example", "x_forwarded_proto": "https"}
    assert client(peer, **fields) == peer.address()
    assert Proxies(("10.0.0.0/8",)).base(head(**fields), peer) == (None, None)


def test_who_is_trusted_is_believed_by_any_of_its_names() -> None:
    assert client(HERE, ("127.0.0.1",), x_forwarded_for="203.0.113.5") == "203.0.113.5"
    assert client(Peer("::ffff:127.0.0.1"), ("127.0.0.1",), x_forwarded_for="203.0.113.5") == "203.0.113.5"
    assert client(THROUGH_UNIX, ("unix",), x_forwarded_for="203.0.113.5") == "203.0.113.5"
    assert client(HERE, ("unix",), x_forwarded_for="203.0.113.5") == "127.0.0.1"
    assert client(THROUGH_UNIX, ("127.0.0.1",), x_forwarded_for="203.0.113.5") == ""


@given(
    st.text(string.printable.replace("\r", "").replace("\n", ""), max_size=40),
    st.sampled_from(["x_forwarded_for", "forwarded"]),
)
def test_whatever_a_client_writes_it_is_known_by_the_address_that_the_proxy_saw(written: str, name: str) -> None:
    """Or, where that cannot be told apart from what the client wrote, by the proxy's."""
    added = "203.0.113.5" if name == "x_forwarded_for" else "for=203.0.113.5"
    assert client(**{name: [written, added]}) in ("203.0.113.5", "10.0.0.1")
    other = "forwarded" if name == "x_forwarded_for" else "x_forwarded_for"
    assert client(**{name: added, other: written}) in ("203.0.113.5", "10.0.0.1")


@given(st.lists(st.ip_addresses().map(str), min_size=1, max_size=5))
def test_a_chain_of_addresses_in_either_form(chain: list[str]) -> None:
    quoted = [f'for="[{one}]"' if ":" in one else f"for={one}" for one in chain]
    ours = Proxies(("10.0.0.0/8",))
    found = {
        ours.client(head(**fields), INSIDE).address()
        for fields in ({"x_forwarded_for": ", ".join(chain)}, {"forwarded": ", ".join(quoted)})
    }
    plain = [getattr(ip_address(one), "ipv4_mapped", None) or ip_address(one) for one in chain]
    beyond = [one for one in plain if not str(one).startswith("10.")]
    assert found == {str(beyond[-1] if beyond else plain[0])}


@pytest.mark.parametrize(
    ("entry", "kept"),
    [("10.0.0.1", "10.0.0.1/32"), (" 10.0.0.0/8 ", "10.0.0.0/8"), ("::1", "::1/128"), ("UNIX", "unix")],
)
def test_networks_have_one_form(entry: str, kept: str) -> None:
    assert Config(trusted_proxies=[entry]).trusted_proxies == (kept,)  # type: ignore[arg-type]


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "proxy.example", "*", "", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"^trusted_proxies is .*, but must be an address, a network as 10.0.0.0/8"):
        Config(trusted_proxies=(entry,))


# --- what follows from it


def opened(place: Place, peer: Peer, **fields: Any) -> int:
    return int(place.ask(head(**fields), HELLO, peer).status)


@pytest.mark.requirement("D-proxies")
def test_limits_know_the_clients_behind_a_proxy() -> None:
    place = Place(open_rate=0.1, trusted_proxies=["127.0.0.1"])
    assert [opened(place, HERE, x_forwarded_for="203.0.113.5") for _ in range(2)] == [200, 429]
    assert opened(place, HERE, x_forwarded_for="203.0.113.6") == 200
    assert opened(place, HERE, x_forwarded_for="198.51.100.9, 203.0.113.6") == 429


@pytest.mark.parametrize("more", [{"forwarded": "x"}, {"forwarded": "for=198.51.100.1"}, {"x_forwarded_for": "x"}])
@pytest.mark.parametrize("peer", [HERE, THROUGH_UNIX])
def test_limits_count_whom_the_forms_do_not_agree_about(more: dict[str, str], peer: Peer) -> None:
    """On this machine nobody is counted, but behind a proxy there somebody else asks."""
    place = Place(open_rate=0.1, trusted_proxies=["127.0.0.1", "unix"])
    for number, wanted in enumerate((200, 429)):
        fields: Any = {"x_forwarded_for": f"203.0.113.{number}"} | more
        assert opened(place, peer, **fields) == wanted


def test_limits_do_not_listen_to_strangers() -> None:
    place = Place(open_rate=0.1, allowed_hosts=["*"])
    assert [opened(place, ABROAD, x_forwarded_for=f"203.0.113.{n}") for n in range(2)] == [200, 429]


@pytest.mark.requirement("D-proxies")
@pytest.mark.parametrize("trusted", [[], ["127.0.0.1"]])
@pytest.mark.parametrize("name", ["forwarded", "x_forwarded_for", "x_forwarded_proto", "x_real_ip", "via"])
def test_what_was_forwarded_is_never_local(trusted: list[str], name: str) -> None:
    """Not even when it says that it comes from this machine."""
    place = Place(trusted_proxies=trusted)
    session = place.initialize()
    told_ids = told(place.ask(head("GET", "/sessions"), peer=HERE))["sessions"]
    assert told_ids == [session]
    fields = {name: "for=127.0.0.1" if name == "forwarded" else "127.0.0.1"}
    assert session not in place.ask(head("GET", "/sessions", **fields), peer=HERE).body.decode()
    refused = told(place.ask(head("POST", "/mcp", host="evil.example", **fields), peer=HERE))
    assert refused["error"]["data"] == {"reason": "host"}


@pytest.mark.parametrize(
    ("settings", "fields", "peer", "base"),
    [
        ({}, {"x_forwarded_proto": "https", "x_forwarded_host": "a.example"}, HERE, "http://localhost:3002"),
        (
            {"trusted_proxies": ["127.0.0.1"]},
            {"x_forwarded_proto": "https", "x_forwarded_host": "a.example:8443"},
            HERE,
            "https://a.example:8443",
        ),
        ({"trusted_proxies": ["127.0.0.1"]}, {"x_forwarded_proto": "HTTPS"}, HERE, "https://localhost:3002"),
        ({"trusted_proxies": ["127.0.0.1"]}, {"forwarded": "proto=https;host=a.example"}, HERE, "https://a.example"),
        (
            {"trusted_proxies": ["127.0.0.1"]},
            {"forwarded": "proto=https;host=a.example", "x_forwarded_host": "b.example"},
            HERE,
            "http://localhost:3002",
        ),
        (
            {"trusted_proxies": ["127.0.0.1"]},
            {"x_forwarded_proto": "javascript", "x_forwarded_host": 'a"onload="'},
            HERE,
            "http://localhost:3002",
        ),
        (
            {"trusted_proxies": ["127.0.0.1"], "public_url": "https://public.example/x"},
            {"x_forwarded_proto": "http", "x_forwarded_host": "a.example"},
            HERE,
            "https://public.example/x",
        ),
    ],
)
def test_the_address_that_pages_show(settings: Any, fields: Any, peer: Peer, base: str) -> None:
    page = Place(**settings).ask(head("GET", "/docs", **fields), peer=peer).body.decode()
    assert f"{base}/mcp" in page
    if "a.example" not in base:
        assert "a.example" not in page


def test_the_host_guard_looks_at_host_alone() -> None:
    place = Place(trusted_proxies=["127.0.0.1"])
    assert place.ask(head("GET", "/health", host="evil.example", x_forwarded_host="localhost")).status == 403
    assert place.ask(head("GET", "/health", x_forwarded_host="evil.example")).status == 200
