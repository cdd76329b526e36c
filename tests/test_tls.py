"""TLS with real sockets on both loops: who gets in, who does not, streams, endings, and what the operator got wrong."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority
from fakes import message
from fastsse.app import App
from fastsse.config import Config
from fastsse.connection import Connection
from fastsse.context import Context
from fastsse.errors import ConfigError
from fastsse.server import Server
from fastsse.sockets import Listening
from fastsse.tls import Tls
from real import port, served
from serving import started
from wire import http as request

WAIT = 10.0


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FASTSSE_LOOP", request.param)
    return str(request.param)


class Ground:
    """A folder of certificates, and clients that trust them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder, "authority")
        self.cert, self.key = self.authority.sign("server", "localhost", "127.0.0.1")

    def settings(self, **more: Any) -> dict[str, Any]:
        return {"tls_cert": str(self.cert), "tls_key": str(self.key)} | more

    def context(self, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.path))
        if client is not None:
            context.load_cert_chain(*client)
        return context

    @contextlib.contextmanager
    def connect(self, server: Server, context: ssl.SSLContext | None = None) -> Iterator[http.client.HTTPSConnection]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port(server), timeout=WAIT, context=context or self.context()
        )
        try:
            yield connection
        finally:
            connection.close()


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def app() -> App:
    app = App("secured", version="1")

    @app.tool(inline=True)
    def echo(text: str) -> str:
        return text

    @app.tool
    async def steps(context: Context) -> str:
        for step in (1, 2, 3):
            context.progress(step, 3)
            await asyncio.sleep(0)
        return "done"

    @app.tool
    async def forever() -> None:
        await asyncio.Event().wait()

    return app


def call(connection: http.client.HTTPConnection, name: str = "echo", **arguments: Any) -> Any:
    body = message("tools/call", {"name": name, "arguments": arguments})
    connection.request("POST", "/mcp", body, {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())["result"]["content"][0]["text"]


def connections(server: Server) -> list[Connection]:
    """Those that are open, as the server's own thread sees them."""
    found: queue.Queue[list[Connection]] = queue.Queue()
    server.dispatch.loop.call_soon_threadsafe(lambda: found.put(server.connections()))
    return found.get(timeout=WAIT)


def secured(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    sock = socket.create_connection(("127.0.0.1", port(server)), WAIT)
    try:
        return context.wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise


# --- what works


@pytest.mark.requirement("D-tls")
def test_everything_is_https(app: App, ground: Ground, loop: str) -> None:
    with served(app, **ground.settings()) as server:
        assert server.url == server.addresses[0] == f"https://127.0.0.1:{port(server)}"
        with ground.connect(server) as connection:
            assert call(connection, text="x" * 100_000) == "x" * 100_000
            assert call(connection, text="again") == "again"
            connection.request("GET", "/docs")
            assert f"https://127.0.0.1:{port(server)}/mcp" in connection.getresponse().read().decode()


@pytest.mark.requirement("D-tls")
def test_streams(app: App, ground: Ground, loop: str) -> None:
    with served(app, **ground.settings()) as server:
        with ground.connect(server) as stream, ground.connect(server) as poster:
            stream.request("GET", "/sse")
            answer = stream.getresponse()
            assert answer.readline() == b"event: endpoint\n"
            uri = answer.readline().decode().removeprefix("data: ").strip()
            for id in range(3):
                body = message("tools/call", {"name": "echo", "arguments": {"text": "x" * 200_000}}, id)
                poster.request("POST", uri, body, {"Content-Type": "application/json"})
                assert poster.getresponse().read() == b"Accepted"
            seen = 0
            while seen < 3:
                line = answer.readline()
                seen += b'"result"' in line
        with ground.connect(server) as connection:
            params = {"name": "steps", "arguments": {}, "_meta": {"progressToken": 1}}
            fields = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
            connection.request("POST", "/mcp", message("tools/call", params), fields)
            text = connection.getresponse().read().decode()
            assert [text.count('"progress":'), text.count("done")] == [3, 1]
    assert server.stats.connections_open == 0


def test_what_is_sent_at_once_and_bit_by_bit(app: App, ground: Ground, loop: str) -> None:
    """The first request may come in the same segment as the end of the handshake."""
    whole = request("POST", "/mcp", message("tools/call", {"name": "echo", "arguments": {"text": "hi"}}))
    with served(app, **ground.settings()) as server:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ground.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", port(server)), WAIT) as sock:
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
            client.write(whole)
            sock.sendall(outgoing.read())  # the client's Finished and its request together
            data = b""
            while b'"hi"' not in data:
                incoming.write(sock.recv(65536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    data += client.read(65536)
        with secured(server, ground.context()) as slow:
            for byte in whole:
                slow.sendall(bytes([byte]))
            assert b'"hi"' in slow.recv(65536)


def test_through_a_unix_socket(app: App, ground: Ground, loop: str) -> None:
    path = ground.folder / "mcp.sock"
    with served(app, **ground.settings(host=f"unix:{path}")) as server:
        assert (server.url, server.addresses) == ("https://localhost", [f"unix:{path}"])
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(WAIT)
            raw.connect(str(path))
            with ground.context().wrap_socket(raw, server_hostname="localhost") as sock:
                sock.sendall(request("GET", "/ready"))
                assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_out_of_files_is_not_the_end(app: App, ground: Ground, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Spent(socket.socket):
        """A listening socket of a process that had no file descriptor left, once."""

        refused = False

        def accept(self) -> tuple[socket.socket, Any]:
            if not self.refused:
                self.refused = True
                raise OSError(24, "Too many open files")
            return super().accept()

    monkeypatch.setattr("fastsse.tls.PAUSE", 0.05)
    with Spent(socket.AF_INET) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        monkeypatch.setattr("fastsse.server.listen", lambda config, scheme: [Listening(listener, scheme)])
        with served(app, **ground.settings()) as server, ground.connect(server) as connection:
            assert call(connection, text="x") == "x"
            assert listener.refused


def test_only_http_1_is_agreed_on(app: App, ground: Ground, loop: str) -> None:
    with served(app, **ground.settings()) as server:
        context = ground.context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with secured(server, context) as sock:
            assert sock.selected_alpn_protocol() == "http/1.1"


def test_curl(app: App, ground: Ground, loop: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        return  # the other tests have the same client side from Python
    with served(app, **ground.settings()) as server:
        command = [curl, "--silent", "--show-error", "--max-time", "10", "--cacert", str(ground.authority.path)]
        done = subprocess.run([*command, f"{server.url}/health"], capture_output=True, check=True, timeout=WAIT)
        assert json.loads(done.stdout)["status"] == "healthy"


# --- who does not get in


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "fastsse.tls"]


def settled(server: Server) -> None:
    """Until no handshake is under way."""
    assert server._tls is not None
    while server._tls.handshakes:
        pass


def until_failure(caplog: pytest.LogCaptureFixture, server: Server, sock: socket.socket) -> str:
    """What is logged of a connection that the server has ended."""
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass
    settled(server)
    (line,) = failures(caplog)
    return line


def test_old_versions_are_refused(app: App, ground: Ground, loop: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fastsse.tls")
    with served(app, **ground.settings()) as server:
        for version, works in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
            context = ground.context()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")  # or this side would not even try
            if works:
                with secured(server, context) as sock:
                    assert sock.version() == "TLSv1.2"
            else:
                with pytest.raises(OSError, match=r"(?i)protocol version|reset|eof"):
                    secured(server, context)
        settled(server)
        assert len(failures(caplog)) == 1
        assert server.stats.connections_opened == 1


@pytest.mark.requirement("D-tls")
def test_plain_http_is_one_line(app: App, ground: Ground, loop: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with served(app, **ground.settings()) as server:
        with socket.create_connection(("127.0.0.1", port(server)), WAIT) as sock:
            sock.sendall(request("GET", "/health"))
            line = until_failure(caplog, server, sock)
        assert "it speaks plain HTTP; the address here begins with https://" in line
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
        with ground.connect(server) as connection:
            assert call(connection, text="x") == "x"


def test_who_says_nothing_is_given_up(app: App, ground: Ground, loop: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        served(app, **ground.settings(head_timeout=0.2)) as server,
        socket.create_connection(("127.0.0.1", port(server)), WAIT) as sock,
    ):
        assert "setting head_timeout" in until_failure(caplog, server, sock)


@pytest.mark.parametrize("how", ["end", "reset", "garbage"])
def test_who_goes_away_in_between_is_forgotten(
    app: App, ground: Ground, loop: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ground.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    with served(app, **ground.settings()) as server:
        with socket.create_connection(("127.0.0.1", port(server)), WAIT) as sock:
            sock.sendall(hello)
            sock.recv(1)
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif how == "garbage":
                sock.sendall(b"\x16\x03\x03\x00\x05nonsense" * 10)
                with contextlib.suppress(OSError):
                    while sock.recv(65536):
                        pass
        with ground.connect(server) as connection:
            assert call(connection, text="x") == "x"
        settled(server)
        assert server.stats.connections_opened == 1
    assert len(failures(caplog)) == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# --- certificates of clients


@pytest.mark.requirement("D-tls")
def test_clients_without_certificate_are_refused(
    app: App, ground: Ground, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stranger = Authority(ground.folder, "stranger").sign("mallory")
    member = ground.authority.sign("ada")
    with served(app, **ground.settings(tls_client_ca=str(ground.authority.path))) as server:
        for shown in (None, stranger):
            with contextlib.suppress(OSError), secured(server, ground.context(shown)) as sock:
                # At TLS 1.3 the client is through before the server has looked.
                sock.sendall(request("GET", "/health"))
                assert sock.recv(1) == b""
        settled(server)
        assert len(failures(caplog)) == 2
        with ground.connect(server, ground.context(member)) as connection:
            assert call(connection, text="x") == "x"
        assert server.stats.connections_opened == 1


@pytest.mark.parametrize("required", ["required", "optional"])
def test_what_a_certificate_says_is_known(app: App, ground: Ground, loop: str, required: str) -> None:
    member = ground.authority.sign("ada")
    settings = ground.settings(tls_client_ca=str(ground.authority.path), tls_client_cert=required)
    with served(app, **settings) as server:
        for shown in (member, None) if required == "optional" else (member,):
            with ground.connect(server, ground.context(shown)) as connection:
                assert call(connection, text="x") == "x"
                (found,) = connections(server)
                said = found.certificate()
                if shown is None:
                    assert said is None
                else:
                    assert said is not None
                    assert (("commonName", "ada"),) in said["subject"]
            while connections(server):
                pass


# --- endings


def test_half_of_a_connection_cannot_be_closed(
    app: App, ground: Ground, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that says goodbye while its call runs is gone, without a warning of the loop's."""
    body = message("tools/call", {"name": "forever", "arguments": {}})
    with served(app, **ground.settings(drain_timeout=0.1)) as server:
        with secured(server, ground.context()) as sock:
            sock.sendall(request("POST", "/mcp", body))
            while not server.dispatch.running:
                pass
            with contextlib.suppress(OSError):
                sock.unwrap()
        while connections(server):
            pass
        assert len(server.dispatch.running) == 1, "calls of a session go on"
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_stopping_ends_streams_calls_and_handshakes(app: App, ground: Ground, loop: str) -> None:
    body = message("tools/call", {"name": "forever", "arguments": {}})
    with contextlib.ExitStack() as stack:
        with served(app, **ground.settings(drain_timeout=0.1)) as server:
            stream, busy, idle = (stack.enter_context(secured(server, ground.context())) for _ in range(3))
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", port(server)), WAIT))
            stream.sendall(request("GET", "/sse"))
            assert stream.recv(1)
            busy.sendall(request("POST", "/mcp", body))
            while not server.dispatch.running:
                pass
        ends = []
        for sock in (stream, busy, idle, silent):
            data = b""
            with contextlib.suppress(OSError):
                while piece := sock.recv(65536):
                    data += piece
            ends.append(data)
        assert b"retry: " in ends[0]
        assert b"The server is stopping" in ends[1]
        assert ends[2:] == [b"", b""]
        assert server.stats.connections_open == 0


def test_a_slow_reader_gets_all_of_its_last_answer(app: App, ground: Ground, loop: str) -> None:
    size = 3_000_000
    body = message("tools/call", {"name": "echo", "arguments": {"text": "x" * size}})
    with served(app, **ground.settings()) as server:
        with secured(server, ground.context()) as sock:
            sock.sendall(request("POST", "/mcp", body, connection="close"))
            count = 0
            with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
                while piece := sock.recv(4096):
                    count += piece.count(b"x")
        assert count >= size


# --- what the operator got wrong, and what changes


def test_wrong_files_are_one_sentence(ground: Ground) -> None:
    _, others = ground.authority.sign("other")
    _, locked = ground.authority.sign("locked", password=b"secret")
    nothing = ground.folder / "nothing.pem"
    nothing.write_text("nothing")
    for settings, sentence in (
        ({"tls_cert": "missing.pem"}, "tls_cert is 'missing.pem', which cannot be read: No such file or directory"),
        ({"tls_key": "missing.pem"}, "tls_key is 'missing.pem', which cannot be read: No such file or directory"),
        ({"tls_key": str(others)}, f"tls_key is '{others}', which is not the key of tls_cert '{ground.cert}'"),
        ({"tls_key": str(locked)}, f"tls_key is '{locked}', whose key is encrypted"),
        ({"tls_key": None}, f"tls_cert '{ground.cert}' and tls_key None are no certificate with its key in PEM"),
        ({"tls_cert": str(nothing)}, f"tls_cert '{nothing}' and tls_key"),
        ({"tls_client_ca": str(nothing)}, f"tls_client_ca is '{nothing}', which holds no certificate in PEM"),
    ):
        with pytest.raises(ConfigError) as refused:
            Tls(Config(**ground.settings(**settings)))
        assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("name", ["tls_key", "tls_client_ca"])
def test_no_file_goes_without_a_certificate(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} is x.pem, but must be accompanied by tls_cert$"):
        Config(**{name: "x.pem"})  # type: ignore[arg-type]


def test_one_file_may_hold_both(ground: Ground) -> None:
    both = ground.folder / "both.pem"
    both.write_bytes(ground.cert.read_bytes() + ground.key.read_bytes())
    Tls(Config(tls_cert=str(both)))


@pytest.mark.requirement("D-tls")
def test_the_command_serves_https_and_reads_new_certificates(ground: Ground, loop: str) -> None:
    command = [sys.executable, "-m", "fastsse", "--host", "localhost", "--port", "0"]
    with started(*command, "--tls-cert", str(ground.cert), "--tls-key", str(ground.key)) as server:
        where = server.line("listens on").split()[0]
        assert server.line("doors").startswith("https://localhost:")
        at = int(where.rpartition(":")[2])

        def serial() -> str:
            with (
                socket.create_connection(("127.0.0.1", at), WAIT) as raw,
                ground.context().wrap_socket(raw, server_hostname="localhost") as sock,
            ):
                found = sock.getpeercert()
                assert found is not None
                return str(found["serialNumber"])

        first = serial()
        ground.key.write_text("half of a pair")
        server.process.send_signal(signal.SIGHUP)
        while "the certificates stay as they are: tls_cert" not in server.printed():
            assert serial() == first
        ground.authority.sign("server", "localhost", "127.0.0.1")
        server.process.send_signal(signal.SIGHUP)
        while "certificates were read again" not in server.printed():
            assert server.process.poll() is None
        assert serial() != first
        assert server.stop() == 0
        assert "Traceback" not in server.printed()
