"""A real server in a thread, and clients that speak to it over plain sockets, one for each revision.

Every message that a client sees is checked against the official schema of its revision. Every wait has a limit.
"""

import json
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import schemas
from fastsse import client as clients
from fastsse import peer, testing
from fastsse.client import BOTH, LIST, MODERN, PAIR, hello, strip
from fastsse.hosting import Servable
from fastsse.peer import Answer, Fields, Line
from fastsse.server import Server

__all__ = ["BOTH", "LIST", "MODERN", "PAIR", "Answer", "Fields", "hello", "strip"]

WAIT = 10.0
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STREAMABLE = HANDSHAKE[1:]
EVERY = (*HANDSHAKE, MODERN)


def served(app: Servable, **settings: Any) -> AbstractContextManager[Server]:
    """A server on a free port; FASTSSE_LOOP and FASTSSE_HTTP choose as they do for the command line."""
    chosen = {name: os.environ.get(f"FASTSSE_{name.upper()}", "auto") for name in ("loop", "http")}
    return testing.serve(app, **chosen | settings)


def port(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def dial(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port(server)), WAIT)


def ask(
    server: Server,
    method: str,
    target: str,
    body: bytes | None = None,
    fields: Fields | None = None,
    on: Line | None = None,
) -> Answer:
    """One request, to the letter, on a connection of its own or on the given one; its answer as far as the head."""
    line = dial(server) if on is None else on
    return peer.ask(line, f"localhost:{port(server)}", method, target, body, fields or [], last=on is None)


def dialling(server: Server) -> tuple[Callable[[], Line], str]:
    return lambda: dial(server), f"localhost:{port(server)}"


class Client(clients.Client):
    """A client of one revision whose messages are checked."""

    server: Server

    def see(self, message: Any) -> Any:
        schemas.check(self.revision, message, self.asked.get(json.dumps(message.get("id"))))
        return message

    def call(self, tool: str, arguments: Any = None, **more: Any) -> Any:
        return self.request("tools/call", {"name": tool, "arguments": arguments or {}, **more})


class Session(Client, clients.Session):
    def __init__(self, server: Server, revision: str, ready: bool = True, **capabilities: Any) -> None:
        self.server = server
        super().__init__(*dialling(server), revision, capabilities, ready=ready)


class Pair(Client, clients.Pair):
    def __init__(self, server: Server, revision: str = PAIR, last: str | None = None, **capabilities: Any) -> None:
        self.server = server
        super().__init__(*dialling(server), revision, capabilities, last=last)


class Stateless(Client, clients.Stateless):
    def __init__(self, server: Server, revision: str = MODERN, **capabilities: Any) -> None:
        self.server = server
        super().__init__(*dialling(server), revision, capabilities)


def client(server: Server, revision: str, **capabilities: Any) -> Client:
    """A client of that revision on its own transport; the oldest on the pair."""
    kind: Callable[..., Client] = {PAIR: Pair, MODERN: Stateless}.get(revision, Session)
    return kind(server, revision, **capabilities)
