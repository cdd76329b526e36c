"""An issuer that fastsse has no part in: keys by `cryptography`, tokens by PyJWT, its JWK set by http.server."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ISSUER = "https://issuer.example/realm"
NOW = 1_760_178_600.0


def made(algorithm: str) -> Any:
    """A private key for that algorithm."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("ES"):
        curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
        return ec.generate_private_key(curves[algorithm])
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """Its keys by id, each (algorithm, private key)."""

    def __init__(self, **keys: str) -> None:
        self.keys = {id: (algorithm, made(algorithm)) for id, algorithm in (keys or {"one": "ES256"}).items()}

    def add(self, id: str, algorithm: str = "ES256") -> None:
        self.keys[id] = algorithm, made(algorithm)

    def jwk(self, id: str, **changes: Any) -> dict[str, Any]:
        algorithm, key = self.keys[id]
        found = json.loads(get_default_algorithms()[algorithm].to_jwk(key.public_key()))
        found = {**found, "kid": id, "use": "sig", "alg": algorithm} | changes
        return {name: value for name, value in found.items() if value is not None and name != "key_ops"}

    @property
    def document(self) -> bytes:
        return json.dumps({"keys": [self.jwk(id) for id in self.keys]}).encode()

    def token(self, id: str | None = None, *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that would be let in, but for the changes; a claim that is None is left out."""
        by = next(iter(self.keys)) if id is None else id
        algorithm, key = self.keys[by]
        whole = {"iss": ISSUER, "aud": "us", "sub": "ann", "exp": int(NOW) + 600, "scope": "tools"} | claims
        whole = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(whole, key, algorithm=algorithm, headers={"kid": by} | (headers or {}))


class Published:
    """What an issuer's server says: `status` (0: no HTTP) and `body` at jwks.json; `asked` counts. `requests`: for
    tokens."""

    def __init__(self, body: bytes) -> None:
        self.status = 200
        self.body = body
        self.asked = 0
        self.url = ""
        self.base = ""
        self.requests: list[dict[str, str]] = []

    def metadata(self) -> dict[str, Any]:
        """RFC 8414."""
        return {
            "issuer": self.base,
            "token_endpoint": f"{self.base}/token",
            "authorization_endpoint": f"{self.base}/authorize",
            "jwks_uri": self.url,
            "response_types_supported": ["code"],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }


@contextlib.contextmanager
def publishing(body: bytes, issuer: Issuer | None = None) -> Iterator[Published]:
    """A server on this machine that publishes a JWK set; with `issuer` it is an authorization server, which gives
    tokens to clients by their own name (RFC 6749 §4.4)."""
    published = Published(body)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/jwks.json":
                known = issuer is not None and self.path == "/.well-known/oauth-authorization-server"
                self.say(200 if known else 404, json.dumps(published.metadata()).encode())
                return
            published.asked += 1
            self.say(published.status, published.body)

        def do_POST(self) -> None:
            assert issuer is not None
            form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            published.requests.append(form)
            claims: dict[str, Any] = {"iss": published.base, "sub": form["client_id"], "scope": form.get("scope", "")}
            token = issuer.token(**claims, exp=int(time.time()) + 60)
            self.say(200, json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 60}).encode())

        def say(self, status: int, body: bytes) -> None:
            if not status:
                self.wfile.write(b"this is no HTTP\r\n\r\n")
                return
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        published.base = f"http://127.0.0.1:{server.server_address[1]}"
        published.url = f"{published.base}/jwks.json"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield published
        finally:
            server.shutdown()
            thread.join()
