"""Who may come in, rung by rung: which routes ask, what strangers are told, and whom tokens prove. No socket."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fakes import ABROAD, MODERN, Place, enveloped, head, message, modern_head, told
from fastsse.auth import ADMIN, WELL_KNOWN
from fastsse.config import Config
from fastsse.decision import Authenticate, Call, Listen, Reply
from fastsse.errors import ConfigError
from fastsse.principal import Credentials, Principal
from issuer import ISSUER, NOW, Issuer

TOKEN, ROOT = "0123456789abcdef", "fedcba9876543210"
TOKENS: dict[str, Any] = {"tokens": (f"ann: {TOKEN} tools", f"ops: {ROOT} {ADMIN}")}
BEARER, ADMINISTRATOR = f"Bearer {TOKEN}", f"Bearer {ROOT}"
EVENTS = {"accept": "text/event-stream"}
CALL = message("tools/call", {"name": "x"})
SIGNED: dict[str, Any] = {"issuer": ISSUER, "jwks_url": "https://issuer.example/jwks", "audience": "us"}


def challenge(reply: Any) -> dict[str, str]:
    """The parameters of WWW-Authenticate."""
    lines = reply.extra.decode().split("\r\n")
    (line,) = (line for line in lines if line.startswith("WWW-Authenticate: "))
    scheme, _, rest = line.removeprefix("WWW-Authenticate: ").partition(" ")
    assert scheme == "Bearer"
    found: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    assert rest == ", ".join(f'{name}="{value}"' for name, value in found.items())
    return found


async def nobody(credentials: Credentials) -> Principal | None:
    return None


# --- which routes ask

GUARDED = [
    (head("POST", "/mcp"), CALL),
    (head("POST", "/mcp/", mcp_session_id="x"), CALL),
    (modern_head("tools/call", "x"), message("tools/call", enveloped({"name": "x"}))),
    (modern_head("server/discover"), message("server/discover", enveloped())),
    (head("POST", "/mcp"), b"not JSON"),
    (head("POST", "/mcp", 10**9, content_type="text/plain"), b""),
    (head("GET", "/mcp", **EVENTS), b""),
    (head("GET", "/mcp", mcp_protocol_version=MODERN), b""),
    (head("GET", "/mcp", mcp_session_id="x", **EVENTS), b""),
    (head("DELETE", "/mcp", mcp_session_id="x"), b""),
    (head("PUT", "/mcp"), b""),
    (head("GET", "/sse", **EVENTS), b""),
    (head("HEAD", "/sse"), b""),
    (head("GET", "/sse", last_event_id="x:1", **EVENTS), b""),
    (head("POST", "/message?sessionId=x"), CALL),
    (head("POST", "/messages/?session_id=x"), CALL),
    (head("GET", "/sessions"), b""),
    (head("GET", "/metrics"), b""),
]


@pytest.mark.requirement("A-01", "A-08", "A-10", "D-auth")
@pytest.mark.parametrize(
    ("who", "body"), GUARDED, ids=lambda it: f"{it.method} {it.target}" if hasattr(it, "path") else ""
)
@pytest.mark.parametrize("how", ["nothing", "query", "cookie", "basic", "unknown", "malformed"])
def test_every_route_asks_first(who: Any, body: bytes, how: str) -> None:
    place = Place(**TOKENS)
    fields = [(name, value) for name, value in who.fields if name != b"authorization"]
    target, status, error = who.target, 401, None
    if how == "query":
        target += (b"&" if b"?" in target else b"?") + f"access_token={TOKEN}".encode()
    elif how == "cookie":
        fields.append((b"cookie", f"token={TOKEN}".encode()))
    elif how == "basic":
        fields.append((b"authorization", b"Basic " + TOKEN.encode()))
    elif how == "unknown":
        fields.append((b"authorization", b"Bearer " + TOKEN.swapcase().encode()))
        error = "invalid_token"
    elif how == "malformed":
        fields += [(b"authorization", BEARER.encode()), (b"authorization", ADMINISTRATOR.encode())]
        status, error = 400, "invalid_request"
    asked = type(who).of(who.method, target, 1, fields, True, who.content_length, False)
    reply = place.ask(asked, body)
    assert reply.status == status
    found = challenge(reply)
    assert found.get("error") == error
    assert "error_description" not in found or found["error_description"]
    assert "id" not in told(reply)
    assert TOKEN not in reply.body.decode()
    assert place.table.count == 0


@pytest.mark.requirement("T-12", "A-03", "D-auth")
@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/ready", 200),
        ("GET", "/docs", 200),
        ("OPTIONS", "/mcp", 200),
        ("OPTIONS", "/sessions", 200),
        ("GET", WELL_KNOWN, 200),
        ("HEAD", WELL_KNOWN, 200),
        ("POST", WELL_KNOWN, 405),
        ("GET", "/nowhere", 404),
        ("GET", "/.well-known/oauth-authorization-server", 404),
    ],
)
def test_what_is_open_to_everybody(method: str, target: str, status: int) -> None:
    place = Place(**TOKENS, issuer=ISSUER)
    reply = place.ask(head(method, target, content_type=None))
    assert (reply.status, b"WWW-Authenticate" in reply.extra) == (status, False)


@pytest.mark.requirement("T-12", "D-auth")
def test_host_and_origin_come_first_and_preflights_need_no_token() -> None:
    place = Place(**TOKENS, loopback=False, allowed_hosts=("a.example",), allowed_origins=("https://a.example",))
    for fields in ({"host": "evil.example"}, {"host": "a.example", "origin": "https://evil.example"}):
        reply = place.ask(head("POST", "/mcp", authorization=BEARER, **fields), CALL)
        assert (reply.status, b"WWW-Authenticate" in reply.extra) == (403, False)
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "authorization"}
    reply = place.ask(head("OPTIONS", "/mcp", host="a.example", origin="https://a.example", **asked))
    assert (reply.status, b"Authorization" in reply.extra) == (200, True)


def test_docs_hide_the_tools_from_strangers() -> None:
    assert b"Says it back" in Place().ask(head("GET", "/docs")).body
    page = Place(**TOKENS).ask(head("GET", "/docs")).body
    assert b"Says it back" not in page
    assert b"Authorization: Bearer" in page


# --- tokens of our own


@pytest.mark.requirement("D-auth")
@pytest.mark.parametrize("said", [BEARER, f"bearer {TOKEN}", f"BEARER  {TOKEN}"])
def test_a_token_of_the_list_lets_in_at_once(said: str) -> None:
    place = Place(**TOKENS)
    found = place.ask(head(authorization=said), CALL)
    assert isinstance(found, Call)
    assert found.request.principal is not None
    assert (found.request.principal.name, sorted(found.request.principal.scopes)) == ("ann", ["tools"])
    modern = place.ask(
        modern_head("tools/call", "x", authorization=said), message("tools/call", enveloped({"name": "x"}))
    )
    assert isinstance(modern, Call)
    assert modern.request.principal is found.request.principal
    pair = place.ask(head("GET", "/sse", authorization=said, **EVENTS))
    assert isinstance(pair, Listen)
    assert pair.session is not None
    assert pair.session.principal is found.request.principal
    asked = place.ask(head("POST", f"/message?sessionId={pair.session.id.decode()}", authorization=said), CALL)
    assert isinstance(asked, Call)


@pytest.mark.requirement("H-12", "A-10", "D-auth")
def test_a_session_is_no_credential() -> None:
    place = Place(tokens=(f"ann: {TOKEN}", f"bob: {ROOT}"))
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    opened = place.ask(head(authorization=BEARER), message("initialize", hello))
    id = opened.extra.decode().removeprefix("Mcp-Session-Id: ").strip()
    for method in ("POST", "GET", "DELETE"):
        with_id = {"mcp_session_id": id, **EVENTS}
        assert place.ask(head(method, "/mcp", **with_id), CALL).status == 401
        bob = place.ask(head(method, "/mcp", authorization=ADMINISTRATOR, **with_id), CALL)
        dead = {**with_id, "mcp_session_id": id.replace("-8", "-9")}
        none = place.ask(head(method, "/mcp", authorization=ADMINISTRATOR, **dead), CALL)
        assert (bob.status, bob.body, bob.extra) == (none.status, none.body, none.extra)
        assert bob.status == 404
    assert place.ask(head("DELETE", "/mcp", authorization=BEARER, mcp_session_id=id)).status == 200


@pytest.mark.requirement("D-auth")
def test_what_shows_other_peoples_traffic_is_for_administrators() -> None:
    place = Place(**TOKENS, required_scopes=("tools",))
    opened = place.ask(head("GET", "/sse", authorization=BEARER, **EVENTS))
    for path in ("/sessions", "/metrics"):
        refused = place.ask(head("GET", path, authorization=BEARER))
        assert refused.status == 403
        assert challenge(refused)["scope"] == ADMIN
        assert place.ask(head("GET", path, authorization=ADMINISTRATOR)).status == 200
    shown = place.ask(head("GET", "/sessions", authorization=ADMINISTRATOR), peer=ABROAD)
    assert told(shown)["sessions"] == [opened.session.id.decode()]


# --- challenges and metadata


@pytest.mark.requirement("A-02", "A-04", "A-07", "A-09", "D-auth")
def test_challenges_say_where_to_get_a_token_and_which_scopes() -> None:
    settings: dict[str, Any] = {
        "issuer": ISSUER,
        "public_url": "https://mcp.example.com",
        "required_scopes": ("tools", "files"),
    }
    place = Place(**TOKENS, **settings)
    url = f"https://mcp.example.com{WELL_KNOWN}"
    stranger = place.ask(head("GET", "/mcp"))
    assert challenge(stranger) == {"realm": "mcp", "scope": "files tools", "resource_metadata": f"{url}/mcp"}
    wrong = challenge(place.ask(head("GET", "/sse", authorization="Bearer unknown-unknown", **EVENTS)))
    assert (wrong["error"], wrong["scope"], wrong["resource_metadata"]) == (
        "invalid_token",
        "files tools",
        f"{url}/sse",
    )
    lacking = place.ask(head("POST", "/mcp", authorization=BEARER), CALL)
    assert lacking.status == 403
    assert (challenge(lacking)["error"], challenge(lacking)["scope"]) == ("insufficient_scope", "files tools")
    assert challenge(lacking)["resource_metadata"] == f"{url}/mcp"


@pytest.mark.requirement("A-03", "A-09", "D-auth")
@pytest.mark.parametrize("public", [None, "https://mcp.example.com", "https://mcp.example.com/base"])
def test_the_metadata_are_where_clients_look(public: str | None) -> None:
    place = Place(**TOKENS, issuer=ISSUER, public_url=public, required_scopes=("tools",))
    base = public or "http://localhost:3002"
    prefix = "/base" if public and public.endswith("/base") else ""
    for resource in ("/mcp", "/sse"):
        found = challenge(place.ask(head("GET", resource)))["resource_metadata"]
        assert found == f"{base.removesuffix(prefix)}{WELL_KNOWN}{prefix}{resource}"
        path = found.removeprefix(base.removesuffix(prefix))
        for where in (path, f"{prefix}{path}", f"{WELL_KNOWN}{resource}"):
            document = told(place.ask(head("GET", where)))
            assert document == {
                "resource": f"{base}{resource}",
                "authorization_servers": [ISSUER],
                "scopes_supported": ["tools"],
                "bearer_methods_supported": ["header"],
            }
    assert told(place.ask(head("GET", WELL_KNOWN)))["resource"] == f"{base}/mcp"
    assert place.ask(head("GET", f"{WELL_KNOWN}/health")).status == 404


@pytest.mark.requirement("A-12")
def test_without_an_issuer_nobody_is_sent_anywhere() -> None:
    for place in (Place(), Place(**TOKENS)):
        assert place.ask(head("GET", WELL_KNOWN)).status == 404
        assert place.ask(head("GET", f"{WELL_KNOWN}/mcp")).status == 404
    assert challenge(place.ask(head("GET", "/mcp"))) == {"realm": "mcp"}


# --- signed tokens


@pytest.mark.requirement("A-05", "A-06", "A-07", "D-auth-jwt")
def test_signed_tokens() -> None:
    issuer = Issuer()
    place = Place(**SIGNED, required_scopes=("tools",))
    place.gauges.wall.now = NOW
    token = issuer.token()
    waits = place.ask(head(authorization=f"Bearer {token}"), CALL)
    assert isinstance(waits, Authenticate)
    assert waits.keys
    signed = place.authenticator.signed
    assert signed is not None
    signed.begin(place.now)
    signed.take(issuer.document, place.now)
    found = place.ask(head(authorization=f"Bearer {token}"), CALL)
    assert isinstance(found, Call)
    assert found.request.principal is not None
    assert found.request.principal.claims["sub"] == "ann"
    for claims, status, error in (
        ({"aud": "them"}, 401, "invalid_token"),
        ({"exp": int(NOW) - 60}, 401, "invalid_token"),
        ({"scope": "other"}, 403, "insufficient_scope"),
    ):
        reply = place.ask(head(authorization=f"Bearer {issuer.token(**claims)}"), CALL)
        assert (reply.status, challenge(reply)["error"]) == (status, error)
    assert place.ask(head(authorization="Bearer not-signed-at-all"), CALL).status == 401


# --- the application's own way


@pytest.mark.requirement("D-auth-hook")
def test_the_application_is_asked_about_everybody_else() -> None:
    place = Place(**TOKENS, ask=nobody)
    assert isinstance(place.ask(head(authorization=BEARER), CALL), Call)
    sent = head("GET", "/sse", cookie='sid="5e:1"; a=b=c; sid=other; bad', x_key="k", **EVENTS)
    waits = place.ask(sent)
    assert isinstance(waits, Authenticate)
    assert not waits.keys
    seen = waits.credentials
    assert (seen.method, seen.path, seen.address) == ("GET", "/sse", "127.0.0.1")
    assert seen.cookies == {"sid": "5e:1", "a": "b=c"}
    assert seen.headers["x-key"] == "k"
    assert isinstance(place.ask(head(authorization="Bearer something-of-yours"), CALL), Authenticate)
    assert isinstance(place.ask(head(authorization="Basic YTpi"), CALL), Authenticate)
    assert place.ask(head(authorization="Bearer a b"), CALL).status == 400
    assert isinstance(place.ask(head("GET", "/health")), Reply)


@pytest.mark.requirement("D-auth-hook")
def test_browsers_send_cookies_from_origins_that_are_named() -> None:
    origin = "https://app.example"
    asked = {"origin": origin, "host": "localhost:3002"}

    def lines(place: Place) -> bytes:
        return place.endpoint.extra(head("GET", "/mcp", **asked))

    assert b"Access-Control-Allow-Credentials: true\r\n" in lines(Place(ask=nobody, allowed_origins=(origin,)))
    assert b"Credentials" not in lines(Place(ask=nobody, allowed_origins=("*",)))
    assert b"Credentials" not in lines(Place(allowed_origins=(origin,)))


# --- settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"jwks_url": "https://a.b/jwks"}, "issuer is none, but must be set"),
        ({"jwks_url": "https://a.b/jwks", "issuer": "https://a.b"}, "audience is none, but must be set"),
        (
            {"jwks_url": "file:///etc/passwd", "issuer": ISSUER},
            "jwks_url is 'file:///etc/passwd', but must be an https",
        ),
        ({"issuer": 'https://a.b/"x'}, "issuer is 'https://a.b/\"x', but must be an https:// or http:// URL"),
        ({"issuer": "a.b"}, "issuer is 'a.b', but must be an https:// or http:// URL"),
        ({"required_scopes": ['a"b']}, "required_scopes is 'a\"b', but must be a scope"),
        ({"required_scopes": ["offline_access"]}, "required_scopes is 'offline_access', but must be a scope"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config(**settings)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("settings", [{"issuer": ISSUER}, {"required_scopes": ("tools",)}])
def test_a_setting_that_would_do_nothing_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is set, but nobody is asked who they are"):
        Place(**settings)
