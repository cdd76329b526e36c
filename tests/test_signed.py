"""Tokens that somebody else signed (PyJWT): whom they prove, what is refused, and when keys are fetched. No socket."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import re
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from fastsse.auth import Denied
from fastsse.config import Config
from fastsse.errors import RequestRefused
from fastsse.principal import Principal
from fastsse.signed import COOLDOWN, KEPT, LEEWAY, MAX_AGE, Signed, read_keys
from issuer import ISSUER, NOW, Issuer

SETTINGS: dict[str, Any] = {"issuer": ISSUER, "jwks_url": "https://issuer.example/jwks", "audience": "us"}


def signed(issuer: Issuer | None, now: float = 0.0, **settings: Any) -> Signed:
    """What knows this issuer's keys."""
    found = Signed(Config(**SETTINGS | settings))
    found.begin(now)
    found.take(None if issuer is None else issuer.document, now)
    return found


def recognised(of: Signed, token: str, now: float = 1.0, wall: float = NOW) -> Principal | None:
    return of.recognise(token.encode(), now, wall)


def denied(of: Signed, token: str, now: float = 1.0, wall: float = NOW) -> str:
    """Why a token is refused."""
    with pytest.raises(Denied) as caught:
        recognised(of, token, now, wall)
    assert (caught.value.status, caught.value.error) == (401, "invalid_token")
    return caught.value.message


NOBODY = signed(Issuer())

# --- whom it proves


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
def test_public_key_algorithms(algorithm: str) -> None:
    issuer = Issuer(one=algorithm)
    who = recognised(signed(issuer), issuer.token(azp="app"))
    assert who is not None
    assert (who.name, who.issuer, sorted(who.scopes), who.expires) == ("ann", ISSUER, ["tools"], NOW + 600 + LEEWAY)
    assert who.claims["azp"] == "app"
    who = recognised(unlabelled(issuer), issuer.token())
    assert who is not None


def unlabelled(issuer: Issuer) -> Signed:
    """The keys without the member that says what they are for."""
    found = signed(None)
    found.take(json.dumps({"keys": [issuer.jwk(id, alg=None, use=None) for id in issuer.keys]}).encode(), 0.0)
    return found


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b  c"}, ["a", "b", "c"]),
        ({"scope": None, "scp": "a b"}, ["a", "b"]),
        ({"scope": None, "scp": ["a", "b", 5]}, ["a", "b"]),
        ({"scope": None}, []),
        ({"scope": {"a": 1}}, []),
        ({"aud": ["them", "us"], "scope": "a"}, ["a"]),
    ],
)
def test_scopes(claims: dict[str, Any], scopes: list[str]) -> None:
    issuer = Issuer()
    who = recognised(signed(issuer), issuer.token(**claims))
    assert who is not None
    assert sorted(who.scopes) == scopes


def test_without_audience_tokens_are_for_the_urls_that_clients_use() -> None:
    issuer = Issuer()
    of = signed(issuer, audience=None, public_url="https://mcp.example.com/base")
    for path in ("/mcp", "/mcp/", "/sse"):
        assert recognised(of, issuer.token(aud=f"https://mcp.example.com/base{path}")) is not None
    for other in ("https://mcp.example.com", "https://mcp.example.com/mcp", "us"):
        assert "another server" in denied(of, issuer.token(aud=other))


# --- what is refused


@pytest.mark.requirement("A-05", "A-06")
@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "them"}, "another server"),
        ({"aud": ["them"]}, "another server"),
        ({"aud": None}, "claim aud"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"iss": None}, "claim iss"),
        ({"exp": None}, "claim exp"),
        ({"exp": int(NOW) - 31}, "expired"),
        ({"exp": "soon"}, "malformed|type"),
        ({"sub": None}, "claim sub"),
        ({"nbf": int(NOW) + 31}, "not valid yet"),
        ({"nbf": "x"}, "malformed|type"),
    ],
)
def test_claims(claims: dict[str, Any], why: str) -> None:
    issuer = Issuer()
    assert re.search(why, denied(signed(issuer), issuer.token(**claims)))


def test_a_little_time_may_lie_between_the_clocks() -> None:
    issuer = Issuer()
    of = signed(issuer)
    assert recognised(of, issuer.token(exp=int(NOW) - 29)) is not None
    assert recognised(of, issuer.token(nbf=int(NOW) + 29, iat=int(NOW) + 29)) is not None


def part(data: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def test_forged_tokens() -> None:
    issuer, stranger = Issuer(one="RS256"), Issuer(one="RS256")
    of = signed(issuer)
    head, body, signature = issuer.token().split(".")
    claims = part({"iss": ISSUER, "aud": "us", "sub": "root", "exp": int(NOW) + 600})
    public = issuer.keys["one"][1].public_key()
    secret = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    symmetric = part({"alg": "HS256", "kid": "one"})  # the public key as if it were a secret
    mac = hmac.digest(secret, f"{symmetric}.{claims}".encode(), "sha256")
    forged = {
        stranger.token(): "signature",
        f"{head}.{claims}.{signature}": "signature",
        f"{head}.{body}.": "signature",
        f"{head}.{body}.{signature[:-4]}AAAA": "signature",
        f"{part({'alg': 'none', 'kid': 'one'})}.{claims}.": "public-key",
        f"{part({'kid': 'one'})}.{claims}.{signature}": "public-key",
        f"{symmetric}.{claims}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}": "public-key",
        f"{part({'alg': 'RS256', 'kid': 'one', 'crit': ['x'], 'x': 1})}.{claims}.{signature}": "malformed",
        "a.b.c": "malformed",
        "..": "malformed",
        f"{part({'alg': 5})}.{claims}.x": "",
    }
    for token, why in forged.items():
        assert why in denied(of, token), token


@given(st.from_regex(rb"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}", fullmatch=True))
def test_any_token_is_refused_in_our_own_words(token: bytes) -> None:
    with contextlib.suppress(RequestRefused):
        assert NOBODY.recognise(token, 1.0, NOW) is None


def test_a_key_serves_its_own_algorithm_only() -> None:
    issuer = Issuer(one="RS256")
    algorithm, key = issuer.keys["one"]
    assert algorithm == "RS256"
    claims = {"iss": ISSUER, "aud": "us", "sub": "ann", "exp": NOW + 600}
    other = jwt.encode(claims, key, "PS256", {"kid": "one"})
    assert "does not publish" in denied(signed(issuer), other)
    assert recognised(unlabelled(issuer), other) is not None


def test_a_token_without_a_key_id_needs_a_key_without_a_doubt() -> None:
    one, two = Issuer(one="ES256", other="RS256"), Issuer(one="ES256", two="ES256")
    without = {"kid": None}
    claims = {"iss": ISSUER, "aud": "us", "sub": "ann", "exp": NOW + 600}
    for issuer, known in ((one, True), (two, False)):
        token = jwt.encode(claims, issuer.keys["one"][1], "ES256")
        assert "kid" not in jwt.get_unverified_header(token), without
        if known:
            assert recognised(signed(issuer), token) is not None
        else:
            assert "does not publish" in denied(signed(issuer), token)


# --- keys


def test_what_is_no_key_is_left_out() -> None:
    issuer = Issuer(one="ES256", rsa="RS256")
    good = issuer.jwk("one")
    algorithm, private = issuer.keys["rsa"]
    keys = [
        good,
        issuer.jwk("one", use="enc"),
        issuer.jwk("one", alg="RS256"),
        issuer.jwk("one", x="!"),
        issuer.jwk("one", crv="P-999"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "one"},
        json.loads(RSAAlgorithm.to_jwk(private)),
        {"kty": "RSA"},
        {},
        5,
        None,
    ]
    assert algorithm == "RS256"
    found = read_keys(json.dumps({"keys": keys}).encode())
    assert [(key.id, key.algorithms) for key in found] == [("one", ("ES256",))]
    for broken in (b"", b"[]", b"{}", b'{"keys":5}', b"\xff", b"<html>"):
        with pytest.raises(ValueError, match=r"keys|value|utf"):
            read_keys(broken)


def test_keys_are_fetched_first_and_again_after_a_while() -> None:
    issuer = Issuer()
    token = issuer.token()
    of = Signed(Config(**SETTINGS))
    assert recognised(of, token, 0.0) is None, "fetch them first"
    of.begin(0.0)
    assert recognised(of, token, 1.0) is None, "they are on their way"
    of.take(issuer.document, 2.0)
    assert recognised(of, token, 3.0) is not None
    assert recognised(of, token, 2.0 + MAX_AGE - 1) is not None
    assert recognised(of, token, 2.0 + MAX_AGE) is None, "known tokens too: their key may be gone"
    of.begin(2.0 + MAX_AGE)
    assert recognised(of, token, 3.0 + MAX_AGE) is not None, "others go on with the old ones meanwhile"
    of.take(None, 4.0 + MAX_AGE)
    assert recognised(of, token, 5.0 + MAX_AGE) is not None, "the issuer is away: they go on"
    assert recognised(of, token, 2.0 + MAX_AGE + COOLDOWN) is None, "it is asked again"


def test_a_key_that_is_taken_back_proves_nobody() -> None:
    issuer = Issuer(old="ES256", new="ES256")
    of, token = signed(issuer), issuer.token("old")
    assert recognised(of, token) is not None
    del issuer.keys["old"]
    of.begin(MAX_AGE)
    of.take(issuer.document, MAX_AGE)
    assert "does not publish" in denied(of, token, MAX_AGE + 1)


def test_an_unknown_key_is_asked_for_once_in_a_while() -> None:
    issuer = Issuer()
    of = signed(issuer)
    issuer.add("rotated")
    token = issuer.token("rotated")
    assert "does not publish" in denied(of, token, COOLDOWN - 1)
    assert recognised(of, token, COOLDOWN) is None
    of.begin(COOLDOWN)
    of.take(issuer.document, COOLDOWN)
    assert recognised(of, token, COOLDOWN) is not None
    nowhere = Issuer(nowhere="ES256").token()
    assert "does not publish" in denied(of, nowhere, COOLDOWN + 1)


def test_without_any_keys_nobody_is_told_that_it_is_the_token() -> None:
    of = signed(None)
    with pytest.raises(RequestRefused) as refused:
        recognised(of, Issuer().token())
    assert not isinstance(refused.value, Denied)
    assert (refused.value.status, refused.value.reason, refused.value.retry_after) == (503, "no_keys", 30)


def test_what_is_no_jwk_set_leaves_the_keys_as_they_are() -> None:
    issuer = Issuer()
    of = signed(issuer)
    of.begin(50.0)
    with pytest.raises(ValueError, match="keys"):
        of.take(b"{}", 51.0)
    assert not of.fetching
    assert recognised(of, issuer.token(), 52.0) is not None


# --- what is remembered


def test_a_token_is_verified_once_and_remembered_until_it_expires() -> None:
    issuer = Issuer()
    of, token = signed(issuer), issuer.token()
    first = recognised(of, token)
    assert recognised(of, token) is first
    assert "expired" in denied(of, token, 1.0, NOW + 600 + LEEWAY)
    assert "expired" in denied(of, token, 1.0, NOW + 600 + LEEWAY)


def test_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT > 3
    monkeypatch.setattr("fastsse.signed.KEPT", 3)
    issuer = Issuer()
    of = signed(issuer)
    tokens = [issuer.token(jti=str(number)) for number in range(5)]
    for token in tokens:
        recognised(of, token)
    assert len(of._recent) == 3
    assert recognised(of, tokens[-1]) is recognised(of, tokens[-1])
