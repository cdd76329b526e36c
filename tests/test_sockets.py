"""What the server listens on beside addresses: Unix sockets, inherited sockets, and those that systemd passes."""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import message
from fastsse.app import App
from fastsse.config import Config
from fastsse.errors import ConfigError
from fastsse.sockets import listen
from real import served
from serving import ROOT, started

WAIT = 10.0
SERVE = (sys.executable, "-m", "fastsse")


@pytest.fixture(autouse=True, params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FASTSSE_LOOP", request.param)
    return str(request.param)


@pytest.fixture
def app() -> App:
    app = App("socketed", version="1")

    @app.tool(inline=True)
    def double(number: int) -> int:
        return number * 2

    return app


class Unix(http.client.HTTPConnection):
    """A connection through a Unix socket."""

    def __init__(self, path: str | Path) -> None:
        super().__init__("localhost", timeout=WAIT)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WAIT)
        self.sock.connect(self.path)


def ask(connection: http.client.HTTPConnection, number: int = 4, **headers: str) -> Any:
    """The JSON of the answer to a call."""
    body = message("tools/call", {"name": "double", "arguments": {"number": number}})
    connection.request("POST", "/mcp", body, {"Content-Type": "application/json"} | headers)
    answer = connection.getresponse()
    return json.loads(answer.read())


def doubled(connection: http.client.HTTPConnection) -> bool:
    found = ask(connection)["result"]["content"][0]["text"] == "8"
    connection.close()
    return bool(found)


def stale(path: Path) -> None:
    """A socket file whose process is gone."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


# --- Unix sockets


@pytest.mark.requirement("D-sockets")
def test_a_unix_socket_serves_like_an_address(app: App, tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    with served(app, host=f"unix:{path}") as server:
        assert (server.url, server.addresses) == ("http://localhost", [f"unix:{path}"])
        first, second = Unix(path), Unix(path)
        assert doubled(first)
        second.request("GET", "/sse")
        stream = second.getresponse()
        assert stream.readline() == b"event: endpoint\n"
        second.close()
    assert not path.exists()


def test_through_a_unix_socket_everybody_is_local(app: App, tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    with served(app, host=f"unix:{path}") as server:
        connection = Unix(path)
        connection.request("GET", "/sse")
        assert connection.getresponse().readline() == b"event: endpoint\n"
        session = server.table.ids()[0].decode()
        pages = Unix(path)
        pages.request("GET", "/sessions")
        assert json.loads(pages.getresponse().read())["sessions"] == [session]
        refused = ask(pages, Host="evil.example")["error"]["data"]
        assert (refused["reason"], refused["saw"]) == ("host", "evil.example")
        pages.request("GET", "/sessions", headers={"X-Forwarded-For": "203.0.113.5"})
        assert session not in pages.getresponse().read().decode()
        for one in (connection, pages):
            one.close()


@pytest.mark.requirement("D-sockets")
def test_the_socket_file_of_a_process_that_is_gone_is_replaced(app: App, tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    stale(path)
    with served(app, host=f"unix:{path}"):
        assert doubled(Unix(path))


@pytest.mark.requirement("D-sockets")
def test_the_socket_file_of_a_server_that_answers_is_not_taken(app: App, tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    with served(app, host=f"unix:{path}"):
        with pytest.raises(ConfigError, match=rf"^unix:{path} is in use; stop the server that listens there"):
            listen(Config(host=f"unix:{path}"))
        assert doubled(Unix(path))


def test_a_server_that_is_behind_is_there_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    with socket.socket(socket.AF_UNIX) as behind, socket.socket(socket.AF_UNIX) as waiting:
        behind.bind(str(path))
        behind.listen(0)
        waiting.connect(str(path))
        with pytest.raises(ConfigError, match="is in use"):
            listen(Config(host=f"unix:{path}"))


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary")
    for host in (f"unix:{path}", f"unix:{tmp_path}"):
        with pytest.raises(ConfigError, match="that file is no socket; choose another with --host"):
            listen(Config(host=host))
    assert path.read_text() == "dear diary"


@pytest.mark.parametrize("name", ["missing/mcp.sock", "x" * 200])
def test_a_path_that_cannot_be_bound_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^cannot listen on unix:.*; see --host$"):
        listen(Config(host=f"unix:{tmp_path / name}"))


def test_the_socket_file_of_a_successor_stays(app: App, tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    with served(app, host=f"unix:{path}"):
        path.unlink()
        with served(app, host=f"unix:{path}"):
            path.rename(tmp_path / "aside")
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(str(path))
    assert path.exists()


def test_the_umask_says_who_may_connect(tmp_path: Path) -> None:
    before = os.umask(0o007)
    try:
        (one,) = listen(Config(host=f"unix:{tmp_path / 'mcp.sock'}"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "mcp.sock").stat().st_mode) == 0o770
    one.close()


def test_the_command_serves_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    with started(*SERVE, "--host", f"unix:{path}") as server:
        assert server.line("listens on") == f"unix:{path}"
        assert server.line("doors").endswith(f"http://localhost/docs  (curl --unix-socket {path})")
        curl = shutil.which("curl")
        if curl is not None:
            command = [curl, "--silent", "--max-time", "10", "--unix-socket", str(path), "http://localhost/health"]
            told = subprocess.run(command, capture_output=True, check=True, timeout=WAIT).stdout
            assert json.loads(told)["status"] == "healthy"
        connection = Unix(path)
        connection.request("GET", "/ready")
        assert connection.getresponse().status == 200
        connection.close()
        assert server.stop() == 0
        assert not path.exists()


# --- inherited sockets


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(WAIT)
        yield made


def test_an_inherited_socket_is_served_and_closed(app: App, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with served(app, host=f"fd:{os.dup(listener.fileno())}") as server:
        assert server.url == f"http://127.0.0.1:{port}"
        assert doubled(http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT))
    # Nobody serves it now, but it is there: who comes waits for the next process.
    with socket.create_connection(("127.0.0.1", port), WAIT), listener.accept()[0]:
        pass


def test_the_file_of_an_inherited_unix_socket_stays(app: App, tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    with socket.socket(socket.AF_UNIX) as parents:
        parents.bind(str(path))
        parents.listen()
        with served(app, host=f"fd:{os.dup(parents.fileno())}") as server:
            assert server.addresses == [f"unix:{path}"]
            assert doubled(Unix(path))
    assert path.exists()


def test_an_inherited_socket_of_everybody_is_no_loopback_bind(app: App) -> None:
    with socket.create_server(("0.0.0.0", 0)) as made:
        port = made.getsockname()[1]
        with served(app, host=f"fd:{os.dup(made.fileno())}") as server:
            assert server.hosts == ["any"]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
            assert ask(connection, Host="other.example")["result"]
            connection.close()


@pytest.mark.requirement("D-sockets")
def test_a_parent_passes_a_socket_to_the_command(listener: socket.socket) -> None:
    number = listener.fileno()
    with started(*SERVE, "--host", f"fd:{number}", pass_fds=(number,)) as server:
        port = listener.getsockname()[1]
        assert server.line("listens on") == f"http://127.0.0.1:{port}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
        connection.request("GET", "/ready")
        assert connection.getresponse().status == 200
        connection.close()
        assert server.stop() == 0


def test_what_is_no_listening_socket_is_one_sentence() -> None:
    here, there = socket.socketpair()
    with here, there, socket.socket(type=socket.SOCK_DGRAM) as datagrams, open(os.devnull) as file:
        gone = os.dup(file.fileno())
        os.close(gone)
        for number, reason in (
            (gone, "is no socket that this process has: Bad file descriptor"),
            (file.fileno(), "is no socket that this process has: Socket operation on non-socket"),
            (datagrams.fileno(), "is no stream socket"),
            (here.fileno(), "is a connection, not a listening socket (of systemd, it would need Accept=no)"),
        ):
            with pytest.raises(ConfigError) as refused:
                listen(Config(host=f"fd:{number}"))
            assert str(refused.value) == f"host is 'fd:{number}', but file descriptor {number} {reason}"


@pytest.mark.parametrize("host", ["unix:", "unix: ", "fd:", "fd:x", "fd:-1"])
def test_what_cannot_be_meant_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"^host is "):
        Config(host=host)


def test_an_address_that_begins_like_one_is_an_address() -> None:
    assert [Config(host=host).host for host in ("fd::1", "[fd00::1]", "fd:7", "unix:a")] == [
        "fd::1",
        "fd00::1",
        "fd:7",
        "unix:a",
    ]


# --- systemd


SYSTEMD = """
import fcntl, os, sys
passed = [fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 100) for number in sys.argv[1].split()]
for number in sys.argv[1].split():
    os.close(int(number))
for place, number in enumerate(passed, 3):
    os.dup2(number, place)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(passed)), "LISTEN_FDNAMES": "x"}
os.execv(sys.executable, [sys.executable, "-m", "fastsse", *sys.argv[2:], "--host", "systemd"])
"""
"""Starts the server as systemd does; the first argument holds the sockets."""


@pytest.mark.requirement("D-sockets")
def test_systemds_sockets_are_all_served(tmp_path: Path, listener: socket.socket) -> None:
    """As systemd does it: sockets from file descriptor 3 on, and three variables that name them and the process."""
    path = tmp_path / "mcp.sock"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        one, two = listener.fileno(), unix.fileno()
        with started(sys.executable, "-c", SYSTEMD, f"{one} {two}", pass_fds=(one, two)) as server:
            port = listener.getsockname()[1]
            assert server.line("listens on") == f"http://127.0.0.1:{port} and unix:{path}"
            for connection in (http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT), Unix(path)):
                connection.request("GET", "/ready")
                assert connection.getresponse().status == 200
                connection.close()
            assert server.stop() == 0
        assert path.exists()


def test_what_tools_start_hears_nothing_of_the_sockets(listener: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(
        "import os, subprocess\nfrom fastsse import App\napp = App('x', version='1')\n"
        "@app.tool\ndef double(number: int) -> str:\n"
        "    return subprocess.run(['sh', '-c', 'echo $LISTEN_FDS; ls /proc/self/fd'], capture_output=True,"
        " text=True, close_fds=False).stdout\n"
    )
    number = listener.fileno()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = (sys.executable, "-c", SYSTEMD, str(number), "server.py")
    with started(*command, pass_fds=(number,), cwd=tmp_path, env=environment) as server:
        connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=WAIT)
        count, *numbers = ask(connection)["result"]["content"][0]["text"].split("\n")
        connection.close()
        assert count == ""
        assert [one for one in numbers if one] == ["0", "1", "2", "3"], "the folder itself is 3"
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("variables", "seen"),
    [
        ({}, "LISTEN_PID is not set"),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, "they are process 1's"),
        ({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}, "they are process"),
        ({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}, "they are process"),
    ],
)
def test_without_systemd_it_is_one_sentence(
    variables: dict[str, str], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as refused:
        listen(Config(host="systemd"))
    for part in ("systemd has passed no sockets to this process", seen, "examples/deploy/fastsse.socket", "--host"):
        assert part in str(refused.value)


def test_who_was_given_sockets_and_does_not_take_them_is_told(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    with pytest.raises(ConfigError, match=r"is in use; .* --host systemd takes them$"):
        listen(Config(host="127.0.0.1", port=listener.getsockname()[1]))


def test_a_port_that_is_taken_on_one_of_two_addresses_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    class Socket(socket.socket):
        def bind(self, address: Any, /) -> None:
            if self.family == socket.AF_INET6 and not taken:
                taken.append(address[1])
                raise OSError(errno.EADDRINUSE, "in use")
            super().bind(address)

    monkeypatch.setattr(socket, "socket", Socket)
    listening = listen(Config(host="localhost", port=0), "http")
    ports = {one.sock.getsockname()[1] for one in listening}
    for one in listening:
        one.close()
    assert len(ports) == 1
    assert ports.isdisjoint(taken)
