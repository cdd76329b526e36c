"""Who may come: tables of Host and Origin values against tables of settings."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsse.config import Config
from fastsse.errors import RequestRefused
from fastsse.security import KEPT, Guard

LOCAL: dict[str, Any] = {}
NAMED = {"allowed_hosts": ("api.example.com", "*.example.org", "fixed.example.net:8443")}
PUBLIC = {"public_url": "https://mcp.example.com/base"}


def guard(settings: dict[str, Any], loopback: bool = True) -> Guard:
    return Guard(Config(**settings), loopback)


def refused(guard: Guard, host: str | None) -> RequestRefused | None:
    try:
        guard.check_host(None if host is None else host.encode("latin-1"))
    except RequestRefused as error:
        return error
    return None


@pytest.mark.requirement("T-04", "D-guards")
@pytest.mark.parametrize(
    ("settings", "loopback", "host", "allowed"),
    [
        (LOCAL, True, "localhost:3002", True),
        (LOCAL, True, "localhost", True),
        (LOCAL, True, "LOCALHOST:80", True),
        (LOCAL, True, "app.localhost:3002", True),
        (LOCAL, True, "127.0.0.1:3002", True),
        (LOCAL, True, "127.1.2.3", True),
        (LOCAL, True, "[::1]:3002", True),
        (LOCAL, True, "[::1]", True),
        (LOCAL, True, None, False),
        (LOCAL, True, "", False),
        (LOCAL, True, "evil.example", False),
        (LOCAL, True, "evil.example:3002", False),
        (LOCAL, True, "localhost.evil.example", False),
        (LOCAL, True, "127.0.0.1.evil.example", False),
        (LOCAL, True, "evil-localhost", False),
        (LOCAL, True, "127.0.0.1:3002@evil.example", False),
        (LOCAL, True, "192.168.1.7", False),
        (LOCAL, False, "anything.example", True),
        (LOCAL, False, None, True),
        (NAMED, True, "api.example.com", True),
        (NAMED, True, "API.example.com:1234", True),
        (NAMED, True, "localhost:3002", True),
        (NAMED, False, "localhost:3002", False),
        (NAMED, False, "x.example.org", True),
        (NAMED, False, "x.y.example.org:80", True),
        (NAMED, False, "example.org", False),
        (NAMED, False, "evilexample.org", False),
        (NAMED, False, "fixed.example.net:8443", True),
        (NAMED, False, "fixed.example.net", False),
        (NAMED, False, "fixed.example.net:8444", False),
        (PUBLIC, False, "mcp.example.com", True),
        (PUBLIC, True, "mcp.example.com", True),
        (PUBLIC, True, "mcp.example.com:443", False),
        (PUBLIC, False, "other.example.com", False),
        ({"allowed_hosts": ("*",)}, True, "anything.example", True),
    ],
)
def test_hosts(settings: dict[str, Any], loopback: bool, host: str | None, allowed: bool) -> None:
    seen = guard(settings, loopback)
    for _ in range(2):  # the second time from memory
        error = refused(seen, host)
        assert (error is None) is allowed
        if error is not None:
            assert (error.status, error.reason) == (403, "host")
            assert "--allowed-host" in str(error.setting)
            assert "--public-url" in str(error.setting)


@pytest.mark.requirement("T-01", "T-03", "D-guards")
@pytest.mark.parametrize(
    ("settings", "loopback", "origin", "allowed"),
    [
        (LOCAL, True, "http://localhost:5173", True),
        (LOCAL, True, "https://127.0.0.1", True),
        (LOCAL, True, "http://[::1]:8080", True),
        (LOCAL, True, "http://app.localhost", True),
        (LOCAL, True, "http://evil.example", False),
        (LOCAL, True, "http://localhost.evil.example", False),
        (LOCAL, True, "null", False),
        (LOCAL, True, "file://", False),
        (LOCAL, True, "localhost", False),
        (LOCAL, True, "http://[", False),
        (LOCAL, True, "http://[abc]", False),
        (LOCAL, False, "http://[::1]]:80", False),
        (LOCAL, False, "http://localhost:5173", False),
        (LOCAL, False, "http://10.0.0.5:3002", True),
        (LOCAL, False, "http://10.0.0.6:3002", False),
        (LOCAL, False, "http://mcp.example.com", False),
        ({"production": True}, True, "http://localhost:5173", False),
        ({"production": True, "allowed_origins": ("https://a.example",)}, True, "https://a.example", True),
        ({"allowed_origins": ("https://a.example",)}, False, "https://A.example", True),
        ({"allowed_origins": ("https://a.example",)}, False, "https://a.example:8443", False),
        ({"allowed_origins": ("https://a.example",)}, False, "http://a.example", False),
        ({"allowed_origins": ("https://a.example",)}, False, "null", False),
        ({"allowed_origins": ("null",)}, True, "null", True),
        ({"allowed_origins": ("*",)}, False, "https://anything.example", True),
        (PUBLIC, False, "https://mcp.example.com", True),
        (PUBLIC, False, "http://mcp.example.com", False),
        ({"public_url": "https://mcp.example.com:443/x"}, False, "https://mcp.example.com", True),
        ({"public_url": "http://mcp.example.com:8080"}, False, "http://mcp.example.com:8080", True),
    ],
)
def test_origins(settings: dict[str, Any], loopback: bool, origin: str, allowed: bool) -> None:
    seen = guard(settings, loopback)
    for _ in range(2):
        if allowed:
            lines = seen.cors(origin.encode(), b"10.0.0.5:3002").decode()
            assert lines.startswith(f"Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n")
            assert "Mcp-Session-Id" in lines
        else:
            with pytest.raises(RequestRefused) as error:
                seen.cors(origin.encode(), b"10.0.0.5:3002")
            assert (error.value.status, error.value.reason) == (403, "origin")
            assert "ALLOWED_ORIGINS" in str(error.value.setting)


def test_on_an_address_of_its_own_only_a_page_from_there_may_come() -> None:
    """A name can be pointed at any address by whoever owns it; an address cannot (DNS rebinding)."""
    seen = guard(LOCAL, loopback=False)
    assert seen.cors(b"http://10.0.0.5:3002", b"10.0.0.5:3002")
    with pytest.raises(RequestRefused):
        seen.cors(b"http://rebound.example:3002", b"rebound.example:3002")


@given(st.binary(max_size=60))
def test_any_value_gets_a_verdict(value: bytes) -> None:
    seen = guard(NAMED | {"allowed_origins": ("https://a.example",)})
    error = refused(seen, value.decode("latin-1"))
    assert error is None or error.status == 403
    with contextlib.suppress(RequestRefused):
        assert seen.cors(value, value)


def test_verdicts_that_are_kept_are_bounded() -> None:
    seen = guard({"allowed_hosts": ("*",), "allowed_origins": ("*",)})
    for number in range(KEPT * 2):
        seen.check_host(b"h%d" % number)
        assert seen.cors(b"http://h%d" % number, None)
    assert (len(seen._hosts), len(seen._origins)) == (KEPT, KEPT)


@pytest.mark.requirement("T-12", "D-cors")
def test_a_preflight_allows_what_clients_send() -> None:
    asked = b"content-type, mcp-param-region ,Mcp-Param-X_1, mcp-param-, mcp-param-\r\nx: y, x-other"
    lines = guard(LOCAL).preflight(b"", asked).decode().split("\r\n")
    said = dict(line.split(": ") for line in lines if line)
    methods = said["Access-Control-Allow-Methods"].split(", ")
    names = said["Access-Control-Allow-Headers"].lower().split(", ")
    assert set(methods) == {"GET", "POST", "DELETE", "OPTIONS", "HEAD"}
    assert set(names) >= {
        "content-type", "accept", "authorization", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name",
        "last-event-id", "mcp-param-region", "mcp-param-x_1",
    }  # fmt: skip
    assert not {"x-other", "mcp-param-", "x"} & set(names)


def test_what_is_accepted_can_be_said() -> None:
    assert guard(LOCAL, loopback=False).hosts == ["any"]
    assert any("localhost" in host for host in guard(LOCAL).hosts)
    assert guard(PUBLIC, loopback=False).hosts == ["mcp.example.com"]
    assert "https://mcp.example.com" in guard(PUBLIC, loopback=False).origins
    assert guard({"allowed_origins": ("*",)}).origins == ["any"]
    assert guard({"production": True, "allowed_origins": ("https://a.example",)}).origins == ["https://a.example"]
