"""Who asks: what authentication finds out about the sender of a request.

Sessions, rate limits and requestState belong to a principal, not to the token that proved it: a client that renews its
token goes on. Made by `auth` and by the application's own `authenticate`; everybody else reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

NEVER: Final = float("inf")


class Principal:
    """Somebody who was recognised.

    `name`: who it is, to `issuer` (a JWT's `sub` and `iss`); both together identify it, `key` is both in one. `scopes`:
    what it may do. `expires`: Unix time at which what proved it stops to. `claims`: all that the token says.
    """

    __slots__ = ("claims", "expires", "issuer", "key", "name", "scopes")

    def __init__(
        self,
        name: str,
        scopes: Iterable[str] = (),
        expires: float = NEVER,
        claims: Mapping[str, Any] | None = None,
        issuer: str = "",
    ) -> None:
        self.name = name
        self.scopes = frozenset(scopes)
        self.expires = expires
        self.claims: Mapping[str, Any] = {} if claims is None else claims
        self.issuer = issuer
        self.key = f"{len(issuer)}:{issuer}{name}"  # no two pairs look the same

    def __repr__(self) -> str:
        return f"<Principal {self.name!r}{f' of {self.issuer}' if self.issuer else ''}>"
