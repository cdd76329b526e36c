"""Bearer tokens by line, `name: token [scopes]`, as a file and the setting `tokens` have them.

A line is turned into its normal form as soon as it is read: the token's SHA-256 instead of the token. A random token
needs nothing slower (nobody guesses 128 bits). Refuses (ValueError, without what the line says) what is no such line.
Called by `config` and by the server when it starts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from fastsse import _framing
from fastsse.principal import Principal

WANTED: Final = (
    "name: token [scopes], the token of at least 16 letters, digits and -._~+/, or sha256: and 64 hex digits"
)
ISSUER: Final = "tokens"
"""Whose principals they are: not those of the same name that the application or a token's issuer knows."""

_LINE: Final = re.compile(
    r"\s*([^\s:#]+)\s*:\s*(?:sha256:([0-9a-fA-F]{64})|([A-Za-z0-9._~+/-]{16,}=*))((?:\s+\S+)*)\s*"
)
SCOPE: Final = re.compile(r"[!#-\[\]-~]+")
"""RFC 6749 §3.3."""


def digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def normal(line: str) -> str:
    """`name: sha256:<hex> [scopes]`. Raises ValueError."""
    match = _LINE.fullmatch(line)
    if match is None or not all(map(SCOPE.fullmatch, match[4].split())):
        raise ValueError(WANTED)
    name, kept, token, scopes = match.groups()
    return " ".join([f"{name}:", f"sha256:{kept.lower() if kept else digest(token.encode()).hex()}", *scopes.split()])


class Tokens:
    """Principals by the digest of their token; several tokens may have one name."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._known: dict[bytes, list[tuple[bytes, Principal]]] = {}
        for line in lines:
            name, kept, *scopes = normal(line).split()
            whole = bytes.fromhex(kept.removeprefix("sha256:"))
            self._known.setdefault(whole[:4], []).append((whole, Principal(name[:-1], scopes, issuer=ISSUER)))

    def __bool__(self) -> bool:
        return bool(self._known)

    def find(self, token: bytes) -> Principal | None:
        """Whose token it is. Digests are compared in constant time."""
        whole = digest(token)
        for known, principal in self._known.get(whole[:4], ()):
            if _framing.equal(known, whole):
                return principal
        return None
