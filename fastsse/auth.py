"""Who asks, as far as a request head can prove it: bearer tokens (RFC 6750), and what clients are told (RFC 9728).

A token of our own list is known at once, one that an issuer signed by `signed`; for everybody else the application may
be asked. What has to wait for that, or for the issuer's keys, is an `Authenticate`, which floor 4 performs. Refuses
with 401 (403 for a scope that is missing) and a `WWW-Authenticate` that says where to get a token. Tokens in the query
do not count. Spec: MCP basic/authorization. Called by `endpoint`, after the Host and Origin guards and before
everything that could tell something about the server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final, Protocol

from fastsse._framing import Head
from fastsse.config import Config
from fastsse.decision import Authenticate
from fastsse.errors import SERVER_ERROR, RequestRefused
from fastsse.principal import Credentials, Principal
from fastsse.tokens import Tokens

ADMIN: Final = "admin"
"""The scope for what shows other people's traffic: the ids of sessions, and metrics."""
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
REALM: Final = 'Bearer realm="mcp"'
SETTINGS: Final = "tokens, token_file, jwks_url"

_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 §2.1: b64token."""


class Denied(RequestRefused):
    """Who asks may not come in: 401, 403 or 400 with a challenge (RFC 6750 §3). `error`: its error code, None where no
    token came; `scopes` are those that would do; `metadata`: the URL of the resource's metadata."""

    def __init__(self, status: int, error: str | None, message: str, scopes: Iterable[str] = ()) -> None:
        super().__init__(
            status,
            error or "unauthenticated",
            message,
            want="Authorization: Bearer <token>" if status != 403 else f"the scopes {' '.join(sorted(scopes))}",
            setting="required_scopes" if status == 403 else SETTINGS,
            code=SERVER_ERROR,
        )
        self.error = error
        self.scopes = frozenset(scopes)
        self.metadata: str | None = None

    def challenge(self) -> bytes:
        """The line WWW-Authenticate."""
        parts = [REALM]
        if self.error is not None:
            parts += [f'error="{self.error}"', f'error_description="{self.message}"']
        if self.scopes:
            parts.append(f'scope="{" ".join(sorted(self.scopes))}"')
        if self.metadata is not None:
            parts.append(f'resource_metadata="{self.metadata}"')
        return f"WWW-Authenticate: {', '.join(parts)}\r\n".encode()


class Signatures(Protocol):
    """What proves tokens of an issuer; `signed.Signed` is it."""

    def recognise(self, token: bytes, now: float, wall: float) -> Principal | None:
        """Whose token it is; None when the issuer's keys have to be fetched first. Raises Denied, or RequestRefused 503
        while there are no keys."""
        ...


class Authentication:
    """The rules of one server. `asks`: the application recognises those whom the rules do not."""

    def __init__(self, config: Config, tokens: Tokens, signed: Signatures | None, asks: bool) -> None:
        self.tokens = tokens
        self.signed = signed
        self.asks = asks
        self.issuer = config.issuer
        self.required = frozenset(config.required_scopes)

    def recognise(self, head: Head, address: str, now: float, wall: float) -> Principal | Authenticate:
        """Who asks, or what to wait for. `now`: monotonic, `wall`: Unix time. Raises Denied."""
        said = head.authorization
        scheme, _, rest = (said or b"").partition(b" ")
        if scheme.lower() == b"bearer":
            token = rest.strip()
            if _TOKEN.fullmatch(token) is None or len(head.all(b"authorization")) > 1:
                raise Denied(400, "invalid_request", "The Authorization header holds no single bearer token")
            found = self.tokens.find(token)
            if found is not None:
                return found
            if self.signed is not None and token.count(b".") == 2:
                return self.signed.recognise(token, now, wall) or Authenticate(Credentials(head, address), True)
        if self.asks:
            return Authenticate(Credentials(head, address), False)
        raise self.unknown(head)

    def unknown(self, head: Head) -> Denied:
        """Nobody knows who asks."""
        if (head.authorization or b"")[:7].lower() == b"bearer ":
            return Denied(401, "invalid_token", "This token is not known here", self.required)
        return Denied(401, None, "Say who you are", self.required)

    def check(self, principal: Principal, admin: bool, wall: float) -> None:
        """Whether the principal may do what it asks for. Raises Denied."""
        if principal.expires <= wall:
            raise Denied(401, "invalid_token", "The token has expired", self.required)
        needed = frozenset((ADMIN,)) if admin else self.required
        if not needed <= principal.scopes:
            raise Denied(403, "insufficient_scope", "The token lacks a scope that is needed here", needed)

    # --- RFC 9728

    def resources(self, prefix: str) -> dict[bytes, str]:
        """The paths under which the metadata are found, each with the path of the resource that they describe. A proxy
        may pass the prefix on or not, and send us the origin's well-known paths or only those behind the prefix."""
        if self.issuer is None:
            return {}
        found = {WELL_KNOWN: "/mcp", f"{WELL_KNOWN}{prefix}": "/mcp"}
        for resource in ("/mcp", "/sse"):
            found |= {f"{WELL_KNOWN}{resource}": resource, f"{WELL_KNOWN}{prefix}{resource}": resource}
        found |= {prefix + path: resource for path, resource in found.items()}
        return {path.encode(): resource for path, resource in found.items()}

    def metadata_url(self, base: str, resource: str) -> str | None:
        """Where the metadata of a resource are, for clients (RFC 9728 §3.1): its path stands behind the well-known."""
        if self.issuer is None:
            return None
        scheme, _, rest = base.partition("://")
        authority, slash, prefix = rest.partition("/")
        return f"{scheme}://{authority}{WELL_KNOWN}{slash}{prefix}{resource}"

    def metadata(self, base: str, resource: str) -> bytes:
        document = {
            "resource": base + resource,
            "authorization_servers": [self.issuer],
            "scopes_supported": sorted(self.required),
            "bearer_methods_supported": ["header"],
        }
        if not self.required:
            del document["scopes_supported"]
        return json.dumps(document).encode()
