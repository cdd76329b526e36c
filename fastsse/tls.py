"""TLS: the server's certificate, those that clients may have to show, and the handshake before a connection is one.

TLS 1.2 is the oldest; HTTP/1.1 is all that ALPN offers. A handshake has `head_timeout`, counts as a connection, and
ends in one debug line when it fails: with a peer that says nothing, speaks plain HTTP, or shows no certificate that
`tls_client_ca` has signed. Certificates can be read again while the server runs (SIGHUP): connections that are open
keep what they have. Refuses in one sentence what cannot be used. Called by `server`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastsse.errors import ConfigError

if TYPE_CHECKING:
    from fastsse.config import Config
    from fastsse.connection import Connection

log = logging.getLogger("fastsse.tls")

CLOSING = 3600.0
"""Seconds for closing a connection, as far as the loop is concerned: the connection's own clock (`stall_timeout`) cuts
who takes nothing, and whoever goes on reading a long answer may."""
ACCEPTS = 16
"""Connections that are accepted in one turn of the loop."""
PAUSE = 1.0
"""Seconds without accepting when there are no file descriptors left: asyncio's ACCEPT_RETRY_DELAY."""


class Tls:
    """The certificates of one server, and the handshakes under way. Raises ConfigError."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.context = _context(config)
        self.handshakes: set[asyncio.Task[None]] = set()

    def reload(self) -> None:
        """Reads the certificates again, for connections to come. Raises ConfigError, and goes on with those it has."""
        _context(self.config)  # tried beforehand: half of a pair must not get into the one in use
        _load(self.context, self.config)

    async def stop(self) -> None:
        """Ends the handshakes under way."""
        tasks = list(self.handshakes)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Entrance:
    """Accepts connections on one socket; asyncio's own servers say nothing of handshakes that fail. `welcome` makes
    what a connection becomes after its handshake; `crowded` says that there are too many."""

    def __init__(
        self, tls: Tls, sock: socket.socket, welcome: Callable[[], Connection], crowded: Callable[[], bool]
    ) -> None:
        self.tls = tls
        self.sock = sock
        self.welcome = welcome
        self.crowded = crowded
        self.loop = asyncio.get_running_loop()
        self.pause: asyncio.TimerHandle | None = None
        self._open()

    def _open(self) -> None:
        self.pause = None
        self.loop.add_reader(self.sock, self._accept)

    def close(self) -> None:
        """Nobody else gets in."""
        if self.pause is not None:
            self.pause.cancel()
        if self.sock.fileno() >= 0:
            self.loop.remove_reader(self.sock)

    def _accept(self) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, address = self.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted: %s", error)
                self.loop.remove_reader(self.sock)
                self.pause = self.loop.call_later(PAUSE, self._open)
                return
            if self.crowded():
                sock.close()
                continue
            sock.setblocking(False)
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self.loop.create_task(self._shake(sock, address))
            self.tls.handshakes.add(task)
            task.add_done_callback(self.tls.handshakes.discard)

    async def _shake(self, sock: socket.socket, address: Any) -> None:
        tls = self.tls
        try:
            await self.loop.connect_accepted_socket(
                lambda: Arrival(self.welcome),
                sock,
                ssl=tls.context,
                ssl_handshake_timeout=tls.config.head_timeout,
                ssl_shutdown_timeout=CLOSING,
            )
        except OSError as error:
            log.debug("no TLS with %s: %s", address, _why(error))


class Arrival(asyncio.Protocol):
    """A connection up to the end of its handshake."""

    def __init__(self, welcome: Callable[[], Connection]) -> None:
        self.welcome = welcome

    def connection_made(self, transport: Any) -> None:
        connection = self.welcome()
        transport.set_protocol(connection)
        connection.connection_made(transport)


def _why(error: OSError) -> str:
    if isinstance(error, ConnectionAbortedError):
        return "it took too long (setting head_timeout)"
    reason = getattr(error, "reason", None)
    if reason == "HTTP_REQUEST":
        return "it speaks plain HTTP; the address here begins with https://"
    return str(reason or str(error) or type(error).__name__)


# --- certificates


def _context(config: Config) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # it costs us more than the client
    context.set_alpn_protocols(["http/1.1"])
    _load(context, config)
    if config.tls_client_ca is not None:
        required = config.tls_client_cert == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def _load(context: ssl.SSLContext, config: Config) -> None:
    """Reads the files into a context. Raises ConfigError: one sentence."""
    files = ("tls_cert", "tls_key", "tls_client_ca")
    for name in files:
        path = getattr(config, name)
        if path is None:
            continue
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ConfigError(f"{name} is {path!r}, which cannot be read: {error.strerror}") from None
    assert config.tls_cert is not None
    key = f"tls_key is {config.tls_key!r}" if config.tls_key else f"tls_cert is {config.tls_cert!r}"
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password=_no_password)
    except _Encrypted:
        raise ConfigError(f"{key}, whose key is encrypted; decrypt it (openssl pkey), and protect the file") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"{key}, which is not the key of tls_cert {config.tls_cert!r}") from None
        raise ConfigError(
            f"tls_cert {config.tls_cert!r} and tls_key {config.tls_key!r} are no certificate with its key in PEM: "
            f"{error.reason or 'not understood'}"
        ) from None
    if config.tls_client_ca is not None:
        try:
            context.load_verify_locations(config.tls_client_ca)
        except ssl.SSLError as error:
            raise ConfigError(
                f"tls_client_ca is {config.tls_client_ca!r}, which holds no certificate in PEM: "
                f"{error.reason or 'not understood'}"
            ) from None


class _Encrypted(Exception):
    pass


def _no_password() -> str:
    raise _Encrypted  # instead of a prompt that nobody sees
