"""Who asks: what a request shows of its sender, and what authentication makes of it.

Sessions, rate limits and requestState belong to a principal, not to the token that proved it: a client that renews its
token goes on. Principals are made by `tokens`, by `signed` and by the application's own `authenticate`, which is given
`Credentials`; everybody else reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastsse._framing import Head

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


class Credentials:
    """What a request shows of who sends it. `address`: the client's IP address, "" where there is none."""

    __slots__ = ("_head", "address")

    def __init__(self, head: Head, address: str) -> None:
        self._head = head
        self.address = address

    @property
    def method(self) -> str:
        return self._head.method.decode("latin-1")

    @property
    def path(self) -> str:
        """As it was sent, without the query."""
        return self._head.path.decode("latin-1")

    @property
    def headers(self) -> dict[str, str]:
        """Header fields: lower-case names, repeated ones joined with a comma."""
        found: dict[str, str] = {}
        for name, value in self._head.fields:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    @property
    def cookies(self) -> dict[str, str]:
        """Cookies by name (RFC 6265 §5.4); of several with one name the first, which is the most specific."""
        found: dict[str, str] = {}
        for line in self._head.all(b"cookie"):
            for pair in line.decode("latin-1").split(";"):
                name, equals, value = pair.strip().partition("=")
                if equals:
                    found.setdefault(name, value.removeprefix('"').removesuffix('"'))
        return found
