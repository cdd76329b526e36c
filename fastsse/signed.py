"""Tokens that an issuer has signed: JWT (RFC 7519, 9068) against its JWK set (RFC 7517). The room that knows PyJWT.

Accepts asymmetric algorithms alone, each with keys made for it; checks issuer, audience, subject and time. Whom a token
proved is kept until it expires or the issuer's keys change. Knows no clock and fetches nothing: it says when the keys
have to be fetched (long ago, or a token names one that is not there), at most every `COOLDOWN` seconds, and is given
the document. Called by `auth`; floor 4 fetches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

import jwt
from jwt.algorithms import get_default_algorithms

from fastsse.auth import Denied
from fastsse.config import Config
from fastsse.errors import SERVER_ERROR, RequestRefused
from fastsse.principal import Principal

CURVES: Final = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}
RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")

KEYS: Final = 64
"""Keys that are taken from one document: issuers have two to four."""
KEPT: Final = 4096
"""Tokens whose principal is remembered; about 1 KB each."""
MAX_AGE: Final = 600.0
"""Seconds after which the keys are fetched again (jose createRemoteJWKSet cacheMaxAge: 10 min)."""
COOLDOWN: Final = 30.0
"""Seconds between two fetches, whatever tokens say (jose cooldownDuration: 30 s)."""
LEEWAY: Final = 30.0
"""Seconds by which the issuer's clock may differ (RFC 7519 §4.1.4: a small leeway)."""


class Key:
    """One public key: what it is called, and what it may verify."""

    __slots__ = ("algorithms", "id", "key")

    def __init__(self, id: str | None, algorithms: tuple[str, ...], key: Any) -> None:
        self.id = id
        self.algorithms = algorithms
        self.key = key


def read_keys(document: bytes) -> list[Key]:
    """The keys of a JWK set that can verify; others are left out. Raises ValueError."""
    whole = json.loads(document)
    entries = whole.get("keys") if isinstance(whole, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is no JSON object with a list of keys")
    found: list[Key] = []
    for entry in entries[:KEYS]:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
            continue
        kind = entry.get("kty")
        able: tuple[str, ...] = RSA if kind == "RSA" else ()
        if kind in ("EC", "OKP"):
            able = CURVES.get(str(entry.get("crv")), ())
        named = entry.get("alg")
        if named is not None:
            able = tuple(name for name in able if name == named)
        if able:
            try:
                key = get_default_algorithms()[able[0]].from_jwk(entry)
            except (jwt.PyJWTError, ValueError, KeyError, TypeError):
                continue
            found.append(Key(entry.get("kid"), able, key))
    return found


class Signed:
    """What one issuer's tokens prove, here."""

    def __init__(self, config: Config) -> None:
        self.issuer = config.issuer
        self.audience = audience(config)
        self.required = frozenset(config.required_scopes)
        self.fetching = False
        self._tried = self._fetched = float("-inf")
        self._document = b""
        self._keys: list[Key] = []
        self._recent: dict[bytes, Principal] = {}

    # --- keys

    def begin(self, now: float) -> None:
        """The keys are being fetched."""
        self.fetching = True
        self._tried = now

    def take(self, document: bytes | None, now: float) -> None:
        """They were, or (None) could not be: then the old ones serve on. Raises ValueError for what is no JWK set."""
        self.fetching = False
        if document is None:
            return
        keys = read_keys(document)
        self._fetched = now
        if document != self._document:
            self._document, self._keys = document, keys
            self._recent.clear()

    def _may_fetch(self, now: float) -> bool:
        return now - self._tried >= COOLDOWN

    def _key(self, id: object, algorithm: str) -> Key | None:
        able = [key for key in self._keys if algorithm in key.algorithms]
        if id is None:  # then only when there is no choice
            return able[0] if len(able) == 1 else None
        return next((key for key in able if key.id == id), None)

    # --- tokens

    def recognise(self, token: bytes, now: float, wall: float) -> Principal | None:
        """See `auth.Signatures`."""
        if not self.fetching and now - self._fetched >= MAX_AGE and self._may_fetch(now):
            return None
        name = hashlib.sha256(token).digest()
        found = self._recent.get(name)
        if found is None:
            found = self._verify(token.decode("ascii"), wall)
            if found is None:
                if self.fetching or self._may_fetch(now):
                    return None
                if not self._keys:
                    raise unreachable()
                raise self._denied("The token was signed with a key that its issuer does not publish")
            if len(self._recent) >= KEPT:
                del self._recent[next(iter(self._recent))]
            self._recent[name] = found
        if found.expires <= wall:
            self._recent.pop(name, None)
            raise self._denied("The token has expired")
        return found

    def _denied(self, message: str) -> Denied:
        return Denied(401, "invalid_token", message, self.required)

    def _verify(self, token: str, wall: float) -> Principal | None:
        """Whose it is; None when its key is not there."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm = str(header.get("alg"))
            if algorithm not in RSA and not any(algorithm in names for names in CURVES.values()):
                raise self._denied("The token is not signed with a public-key algorithm")
            key = self._key(header.get("kid"), algorithm)
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self.audience,
                issuer=self.issuer,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    "verify_exp": False, "verify_nbf": False, "verify_iat": False,  # by our clock, below
                },
            )  # fmt: skip
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            raise self._denied("The token was made for another server, or by another issuer") from None
        except jwt.MissingRequiredClaimError as missing:
            raise self._denied(f"The token lacks the claim {missing.claim}") from None
        except (jwt.PyJWTError, RecursionError):
            raise self._denied("The token is malformed, or its signature is wrong") from None
        begins, ends = claims.get("nbf", 0), claims["exp"]
        if not _is_time(begins) or not _is_time(ends) or not isinstance(claims["sub"], str):
            raise self._denied("The token has a claim of a wrong type")
        if begins - LEEWAY > wall:
            raise self._denied("The token is not valid yet")
        return Principal(claims["sub"], scopes(claims), float(ends) + LEEWAY, claims, claims["iss"])


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def scopes(claims: dict[str, Any]) -> list[str]:
    """`scope` (RFC 9068), or `scp`, as Entra ID and Okta have it."""
    said = claims.get("scope", claims.get("scp", ""))
    if isinstance(said, str):
        return said.split()
    return [one for one in said if isinstance(one, str)] if isinstance(said, list) else []


def audience(config: Config) -> Sequence[str]:
    """What tokens have to be made for: what the operator says, or the URLs that clients use (RFC 8707)."""
    if config.audience is not None:
        return [config.audience]
    assert config.public_url is not None
    return [f"{config.public_url}{path}{slash}" for path in ("/mcp", "/sse") for slash in ("", "/")]


def unreachable() -> RequestRefused:
    """Nobody can be recognised for the moment."""
    return RequestRefused(
        503,
        "no_keys",
        "The keys that tokens are checked with cannot be fetched",
        setting="jwks_url",
        code=SERVER_ERROR,
        retry_after=int(COOLDOWN),
    )
