"""What the server listens on: addresses, a Unix socket, a socket that it inherits, or those that systemd passes.

One setting says which: `host` is a name or address, `unix:/path`, `fd:3` or `systemd`. The socket file of a process
that is gone is replaced, that of one that answers is refused, and ours goes when the socket is closed. Whoever may
write to the file may connect: its mode is what the umask leaves (a mode that is set afterwards comes too late).
Refuses in one sentence what cannot be listened on. Called by `server`; systemd's part is sd_listen_fds(3).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
from ipaddress import ip_address

from fastsse.config import Config
from fastsse.errors import ConfigError

FIRST = 3
"""The first file descriptor that systemd passes: SD_LISTEN_FDS_START."""
PROBES = 3
"""TCP keep-alive probes that a peer may leave unanswered; one may get lost."""
PASSED = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
"""What systemd says about them."""


class Listening:
    """One listening socket. `address` is for people; `url` is what clients on this machine put before a path (through
    a Unix socket as well); `local`: nobody else reaches it. `made`: its socket file is ours, and goes with it."""

    def __init__(self, sock: socket.socket, scheme: str = "http", *, made: bool = False) -> None:
        self.sock = sock
        self.unix = sock.family == getattr(socket, "AF_UNIX", None)
        self.path = ""
        self._file: tuple[int, int] | None = None
        name = sock.getsockname()
        if self.unix:
            self.path = os.fsdecode(name).replace("\0", "@")
            self.address = f"unix:{self.path}"
            self.url = f"{scheme}://localhost"
            self.local = True
            if made:
                self._file = _file(self.path)
        else:
            host, port = name[:2]
            self.url = self.address = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
            self.local = ip_address(host).is_loopback

    def close(self) -> None:
        """Nobody else gets in; a socket file of ours is gone, so that the next process has the path to itself."""
        if self._file is not None and _file(self.path) == self._file:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self._file = None
        self.sock.close()


def _file(path: str) -> tuple[int, int] | None:
    """What tells the file at a path from another that takes its place."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def listen(config: Config, scheme: str = "http") -> list[Listening]:
    """Everything that the settings say. Raises ConfigError: one sentence."""
    host = config.host
    if host.startswith("unix:"):
        return [Listening(_unix(host.removeprefix("unix:"), config.backlog), scheme, made=True)]
    if host == "systemd":
        socks = _passed()
    elif match := re.fullmatch("fd:([0-9]+)", host):
        socks = [_inherited(int(match[1]), host)]
    else:
        socks = _addresses(config)
    found = [Listening(sock, scheme) for sock in socks]
    for one in found:
        if not one.unix:
            _give_up_dead_peers(one.sock, config.peer_timeout)
    return found


def _give_up_dead_peers(sock: socket.socket, seconds: float) -> None:
    """Sets what accepted sockets inherit: silent peers are probed from half of that time on, and unacknowledged bytes
    wait no longer than probes do (TCP_USER_TIMEOUT = idle + count * interval, RFC 5482)."""
    if not seconds or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(seconds / 2)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, round(seconds / 2 / PROBES)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


# --- addresses


def _addresses(config: Config) -> list[socket.socket]:
    hosts = ["127.0.0.1", "::1"] if config.host == "localhost" else [config.host]
    found: list[socket.socket] = []
    port = config.port
    for host in hosts:
        try:
            family, kind, proto, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            sock = socket.socket(family, kind, proto)
        except OSError as error:
            if found:
                continue
            raise ConfigError(
                f"host is {config.host!r}, which is no address of this machine: {error.strerror or error}"
            ) from None
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind(address)
            sock.listen(config.backlog)  # at once: of two servers that start together, both could bind
        except OSError as error:
            sock.close()
            if found and error.errno == errno.EADDRNOTAVAIL:
                continue  # no IPv6 on this machine
            for other in found:
                other.close()
            if found and not config.port and error.errno == errno.EADDRINUSE:
                return _addresses(config)  # of the two addresses, the other one's port was taken: another port
            raise ConfigError(_cannot_bind(error, host, port)) from None
        sock.setblocking(False)
        port = sock.getsockname()[1]
        found.append(sock)
    return found


def _cannot_bind(error: OSError, host: str, port: int) -> str:
    where = f"port {port} on {host}"
    flag = "--port (FASTSSE_PORT, MCP_SSE_PORT)"
    if error.errno == errno.EADDRINUSE:
        if os.environ.get("LISTEN_PID") == str(os.getpid()):
            return f"{where} is in use; this process was given sockets by systemd: --host systemd takes them"
        return f"{where} is in use; stop what uses it, or choose another with {flag}"
    if error.errno == errno.EACCES:
        return f"{where} may not be used by this user; choose one above 1023 with {flag}"
    return f"cannot listen on {host} port {port}: {error.strerror}; see --host and --port"


# --- a Unix socket


def _unix(path: str, backlog: int) -> socket.socket:
    path = os.path.abspath(path)
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError(f"host is 'unix:{path}', but this system has no Unix sockets")
    _replace(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise ConfigError(f"cannot listen on unix:{path}: {error.strerror or error}; see --host") from None
    sock.setblocking(False)
    return sock


def _replace(path: str) -> None:
    """Removes the socket file that nobody listens on any more. Raises ConfigError for any other file."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"cannot listen on unix:{path}: that file is no socket; choose another with --host")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a server that is behind says EAGAIN, and is there all the same
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):  # if it has to stay, bind says why
                os.unlink(path)
            return
        except FileNotFoundError:
            return
        except PermissionError:
            raise ConfigError(f"unix:{path} is another user's; remove it, or choose another with --host") from None
        except BlockingIOError:
            pass
        except OSError as error:
            raise ConfigError(f"cannot listen on unix:{path}: {error.strerror or error}; see --host") from None
    raise ConfigError(f"unix:{path} is in use; stop the server that listens there, or choose another with --host")


# --- inherited sockets


def _inherited(number: int, host: str) -> socket.socket:
    wanted = f"host is {host!r}, but file descriptor {number}"
    try:
        sock = socket.socket(fileno=number)
    except OSError as error:
        raise ConfigError(f"{wanted} is no socket that this process has: {error.strerror or error}") from None
    sock.set_inheritable(False)  # what tools start has no business with it
    reason = ""
    if sock.type != socket.SOCK_STREAM:
        reason = "is no stream socket"
    elif sock.family not in (socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", None)):
        reason = "is neither a TCP nor a Unix socket"
    else:
        with contextlib.suppress(OSError):
            sock.getpeername()
            reason = "is a connection, not a listening socket (of systemd, it would need Accept=no)"
    if reason:
        sock.detach()  # not ours
        raise ConfigError(f"{wanted} {reason}")
    sock.setblocking(False)
    return sock


def _passed() -> list[socket.socket]:
    """The sockets of systemd's socket units, which are this process's alone."""
    pid, count = os.environ.get("LISTEN_PID", ""), os.environ.get("LISTEN_FDS", "")
    if pid != str(os.getpid()) or not count.isdigit() or not int(count):
        seen = f"they are process {pid}'s" if pid else "LISTEN_PID is not set"
        raise ConfigError(
            f"host is 'systemd', but systemd has passed no sockets to this process ({seen}); start it with a socket "
            "unit (examples/deploy/fastsse.socket), or choose an address with --host"
        )
    for name in PASSED:
        os.environ.pop(name, None)
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(_inherited(number, "systemd")) for number in range(FIRST, FIRST + int(count))]
        stack.pop_all()
    return found
