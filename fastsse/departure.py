"""The one line about a connection that is gone: who it was, what it did, how long, and why it ended.

Made when a connection ends, told when it is gone, so that the last bytes are counted: the kernel does that, it costs no
call anything. At level debug, since clients come and go as they like; at info with `log_connections`. The text is for
people, the same stands in the record's fields for `log_format` json. Called by `connection`.
"""

from __future__ import annotations

import logging
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fastsse.errors import CloseReason

log = logging.getLogger("fastsse.connection")

COUNTED = struct.Struct("=QQ")
COUNTED_AT = 120
"""Where Linux' `struct tcp_info` has tcpi_bytes_acked and tcpi_bytes_received (since 4.2); it only ever grows."""


class Gone(Protocol):
    """A connection, as far as the line tells of it. `era`: of its last event stream, "" without one."""

    transport: Any
    made: float
    served: int
    events: int
    era: str


def name(peer: Any) -> str:
    """A peer's address as people write it."""
    if not peer:
        return "unix"
    host, port = peer[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def carried(transport: Any) -> dict[str, int]:
    """Bytes that the peer has acknowledged, and sent; with the overhead of TLS. Nothing where the kernel cannot say."""
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return {}
    try:
        found = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, COUNTED_AT + COUNTED.size)
        sent, received = COUNTED.unpack_from(found, COUNTED_AT)
    except (OSError, struct.error):
        return {}
    return {"bytes_sent": sent, "bytes_received": received}


class Departure:
    """What is known when a connection ends. `level`: that of the line; `client`: whom a trusted proxy names."""

    __slots__ = ("client", "level", "reason")

    def __init__(self, reason: CloseReason, level: int, client: str | None) -> None:
        self.reason = reason
        self.level = level
        self.client = client

    def tell(self, connection: Gone, now: float) -> None:
        """The connection is gone."""
        fields: dict[str, Any] = {"peer": name(connection.transport.get_extra_info("peername"))}
        if self.client is not None:
            fields["client"] = self.client
        did: dict[str, Any] = {"requests": connection.served}
        if connection.era:
            did |= {"stream": connection.era, "events": connection.events}
        did |= carried(connection.transport)
        fields |= {"reason": self.reason.value, "seconds": round(now - connection.made, 6), **did}
        log.log(
            self.level,
            "%s closed after %.3f s: %s (%s)",
            self.client or fields["peer"],
            fields["seconds"],
            fields["reason"],
            ", ".join(f"{name} {value}" for name, value in did.items()),
            extra=fields,
        )
