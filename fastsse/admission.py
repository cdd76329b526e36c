"""Who may open and who may ask, at this moment: rate limits, and nothing new while there is too much to do.

Sessions (and streams without one) are opened from one bucket for each client, requests taken from others: one of the
session, one of the client. A client is its principal, or else the address it comes from; an IPv6 network is one
address. Clients on this machine have no address that tells them apart: only their sessions and principals are counted.
Refuses with 429 and `Retry-After`, or 503 while `busy`. Called by `endpoint`; the server's tick says what is busy.
"""

from __future__ import annotations

import math
from ipaddress import IPv6Address
from typing import Protocol

from fastsse.config import Config
from fastsse.errors import SERVER_ERROR, RequestRefused
from fastsse.principal import Principal
from fastsse.rates import Rate

PAUSE = 1
"""Seconds after which somebody may try again who was refused because there is too much to do: clients that know no
`Retry-After` wait as long (the TypeScript SDK's initial delay)."""


class Peer(Protocol):
    """The other end of a connection. `local`: it is on this machine."""

    local: bool

    def address(self) -> str:
        """Its IP address; "" where there is none."""
        ...


class Busy:
    """Why nothing new is taken: the slug of the refusal, what it says, and the setting."""

    __slots__ = ("message", "reason", "setting", "want")

    def __init__(self, reason: str, message: str, want: str, setting: str) -> None:
        self.reason = reason
        self.message = message
        self.want = want
        self.setting = setting

    def refusal(self) -> RequestRefused:
        return RequestRefused(
            503,
            self.reason,
            self.message,
            want=self.want,
            setting=self.setting,
            code=SERVER_ERROR,
            retry_after=PAUSE,
        )


class Admission:
    """The buckets of one server."""

    __slots__ = ("busy", "clients", "opening", "sessions")

    def __init__(self, config: Config) -> None:
        self.opening = Rate(config.open_rate) if config.open_rate else None
        self.sessions = Rate(config.session_rate) if config.session_rate else None
        self.clients = Rate(config.client_rate) if config.client_rate else None
        self.busy: Busy | None = None

    @property
    def asked(self) -> bool:
        """Whether ordinary requests have to ask at all."""
        return self.busy is not None or self.sessions is not None or self.clients is not None

    def check(self) -> None:
        """Raises RequestRefused 503 while nothing new is taken."""
        if self.busy is not None:
            raise self.busy.refusal()

    def open(self, peer: Peer, principal: Principal | None, now: float) -> None:
        """A session is to be opened, or a stream without one. Raises RequestRefused 503 or 429."""
        self.check()
        if self.opening is not None:
            client = client_of(peer, principal)
            if client is not None:
                _refuse(self.opening.take(client, now), "Too many sessions opened", self.opening, "open_rate")

    def request(self, peer: Peer, session: bytes | None, principal: Principal | None, count: int, now: float) -> None:
        """So many requests are to be served. Raises RequestRefused 503 or 429."""
        self.check()
        if self.sessions is not None and session is not None:
            wait = self.sessions.take(session, now, count)
            _refuse(wait, "Too many requests in this session", self.sessions, "session_rate")
        if self.clients is not None:
            client = client_of(peer, principal)
            if client is not None:
                wait = self.clients.take(client, now, count)
                _refuse(wait, "Too many requests from this client", self.clients, "client_rate")


def client_of(peer: Peer, principal: Principal | None) -> str | None:
    """Whose bucket it is; None for nobody's."""
    if principal is not None:
        return f"principal {principal.key}"
    address = peer.address()
    if peer.local or not address:
        return None
    return network(address) if ":" in address else address


def network(address: str) -> str:
    """What one IPv6 client has to itself: the first 64 bits (RFC 6177 §2); an IPv4 address that is written as IPv6."""
    whole = IPv6Address(address)
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return str(IPv6Address(int(whole) >> 64 << 64))


def _refuse(wait: float, message: str, rate: Rate, setting: str) -> None:
    if wait:
        raise RequestRefused(
            429,
            "rate_limited",
            message,
            want=f"at most {1 / rate.interval:g} per second, {rate.burst / rate.interval:.0f} at once",
            setting=setting,
            code=SERVER_ERROR,
            retry_after=math.ceil(wait),
        )
