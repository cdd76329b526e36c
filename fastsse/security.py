"""Who may come in: the Host and Origin guards against DNS rebinding, and the CORS lines for those who may.

Decides from a request head and the settings alone. On a loopback bind only loopback names (any port), the
public URL's host and `allowed_hosts` are served, and only loopback origins (not in production), the public
URL's and `allowed_origins`. Elsewhere the Host is free until `allowed_hosts` or `public_url` is set, and an
origin must be listed or be the server's own address. A missing Origin is no browser and passes (MCP
basic/transports, security warning). Called by `endpoint`.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from fastsse.config import Config
from fastsse.errors import RequestRefused

LOOPBACK_NAMES = ("localhost", "*.localhost", "127.*", "[::1]")
"""What `_is_loopback` accepts, for people."""
METHODS = b"GET, POST, DELETE, OPTIONS, HEAD"
HEADERS = (
    b"Accept, Authorization, Content-Type, Last-Event-ID, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name"
)
EXPOSED = b"Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After"
_PARAM = re.compile(rb"mcp-param-[!#$%&'*+.^_`|~0-9a-z-]+")
KEPT = 256
"""Verdicts on Host and Origin values that are kept; more than a server usually sees in a day."""


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _split(authority: str) -> tuple[str, str]:
    """Host in lower case, and port ("" if none)."""
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]") or not (port.isdigit() or not port):
        return authority.lower(), ""
    return host.lower(), port


def _origin_of(scheme: str, authority: str) -> str:
    """As browsers send it: without the scheme's own port."""
    own = {"http": ":80", "https": ":443"}[scheme.lower()]
    return f"{scheme}://{authority.removesuffix(own)}".lower()


class Guard:
    """The verdicts, kept for the values seen. `loopback`: the server is bound to loopback addresses only. `cookies`:
    they may say who asks, so browsers may send them along from origins that are accepted (unless all are)."""

    def __init__(self, config: Config, loopback: bool, cookies: bool = False) -> None:
        self.production = config.production
        self.loopback = loopback
        public = urlsplit(config.public_url) if config.public_url else None
        self.public_host = public.netloc.lower() if public else None
        self.public_origin = _origin_of(public.scheme, public.netloc) if public else None
        self.allowed_hosts = tuple(entry.lower() for entry in config.allowed_hosts)
        self.allowed_origins = frozenset(entry.lower().rstrip("/") for entry in config.allowed_origins)
        self.any_host = "*" in self.allowed_hosts or not (loopback or self.allowed_hosts or self.public_host)
        self.any_origin = "*" in self.allowed_origins
        self.cookies = cookies and not self.any_origin
        self._last: bytes | None = b"\n"  # the Host that passed last
        self._hosts: dict[bytes | None, bool] = {}
        self._origins: dict[tuple[bytes, bytes | None], bytes] = {}

    @property
    def hosts(self) -> list[str]:
        """What is accepted as Host, for people."""
        if self.any_host:
            return ["any"]
        own = [name + ":*" for name in LOOPBACK_NAMES] if self.loopback else []
        public = [] if self.public_host is None else [self.public_host, _split(self.public_host)[0]]
        return list(dict.fromkeys([*own, *public, *self.allowed_hosts]))

    @property
    def origins(self) -> list[str]:
        """What is accepted as Origin, for people."""
        if self.any_origin:
            return ["any"]
        own = [f"*://{name}:*" for name in LOOPBACK_NAMES] if self.loopback else ["the IP address that Host names"]
        public = [] if self.public_origin is None else [self.public_origin]
        return list(dict.fromkeys([*([] if self.production else own), *public, *sorted(self.allowed_origins)]))

    # --- Host

    def check_host(self, host: bytes | None) -> None:
        """Raises RequestRefused 403 for a Host that is not ours."""
        if host == self._last:  # a connection repeats itself, and most have the same
            return
        verdict = self._hosts.get(host)
        if verdict is None:
            verdict = self._accepts_host("" if host is None else host.decode("latin-1"))
            if len(self._hosts) < KEPT:
                self._hosts[host] = verdict
        if not verdict:
            raise RequestRefused(
                403,
                "host",
                "This Host is not served here",
                saw=None if host is None else host.decode("latin-1")[:200],
                want=self.hosts,
                setting="--allowed-host (FASTSSE_ALLOWED_HOSTS), or --public-url behind a proxy",
            )
        self._last = host

    def _accepts_host(self, value: str) -> bool:
        host, port = _split(value)
        if self.any_host:
            return True
        if self.loopback and _is_loopback(host):
            return True
        if self.public_host is not None and value.lower() in (self.public_host, _split(self.public_host)[0]):
            return True
        for entry in self.allowed_hosts:
            name, wanted = _split(entry)
            if wanted and wanted != port:
                continue
            if name == host or (name.startswith("*.") and host.endswith(name[1:]) and len(host) > len(name) - 1):
                return True
        return False

    # --- Origin

    def cors(self, origin: bytes, host: bytes | None) -> bytes:
        """The CORS lines for an answer to this origin. Raises RequestRefused 403 for one that may not come."""
        lines = self._origins.get((origin, host))
        if lines is None:
            if self._accepts_origin(
                origin.decode("latin-1").lower(), "" if host is None else host.decode("latin-1").lower()
            ):
                lines = b"Access-Control-Allow-Origin: %b\r\nVary: Origin\r\nAccess-Control-Expose-Headers: %b\r\n" % (
                    origin,
                    EXPOSED,
                )
                if self.cookies:
                    lines += b"Access-Control-Allow-Credentials: true\r\n"
            else:
                lines = b""
            if len(self._origins) < KEPT:
                self._origins[(origin, host)] = lines
        if not lines:
            raise RequestRefused(
                403,
                "origin",
                "This Origin may not come here",
                saw=origin.decode("latin-1")[:200],
                want=self.origins,
                setting="--allowed-origin (ALLOWED_ORIGINS)",
            )
        return lines

    def _accepts_origin(self, origin: str, host: str) -> bool:
        if self.any_origin or origin in self.allowed_origins or origin == self.public_origin:
            return True
        if self.production or "://" not in origin:
            return False
        try:
            authority = urlsplit(origin).netloc
        except ValueError:  # an IPv6 address that is none
            return False
        name = _split(authority)[0]
        if self.loopback:
            return _is_loopback(name)
        # Not a name: whoever owns a name can point it at us (DNS rebinding).
        return authority == host and _is_address(name)

    def preflight(self, lines: bytes, asked: bytes | None) -> bytes:
        """The further lines of an answer to OPTIONS. `asked`: Access-Control-Request-Headers; `Mcp-Param-*` has no
        wildcard form, so those that are asked for are allowed by name."""
        names = HEADERS
        for name in map(bytes.strip, (asked or b"").split(b",")):
            if _PARAM.fullmatch(name.lower()) and len(names) < 2000:
                names += b", " + name
        return b"%bAccess-Control-Allow-Methods: %b\r\nAccess-Control-Allow-Headers: %b\r\n%b" % (
            lines,
            METHODS,
            names,
            b"Access-Control-Max-Age: 86400\r\n",
        )
