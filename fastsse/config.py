"""Every limit and timeout: what it bounds, its unit, one precedent; validated once, then frozen (design §2, law 5).

`Config` is the table: the command line, `FASTSSE_*`, `.env` and the README's list are all made from it. It refuses,
with one sentence, what cannot work. Sizes are bytes and times seconds unless a unit says otherwise.
Pure: embedders and tests call `Config(...)`; `sources` makes one from flags, the environment and a `.env` file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from fastsse.entries import host, network, origin, public_url, refusal, scope, token, url, where

KIB: Final = 1024
MIB: Final = 1024 * 1024
DAY: Final = 86_400.0


class Setting(msgspec.Struct, frozen=True):
    """What is known of one field beside its type and default.

    `low` and `high` are inclusive; `aliases` are the guides' names in the environment; `precedent`: who else chose
    what; `truth`: the one value of an alias that means True (for `NODE_ENV=production`).
    """

    group: str
    about: str
    precedent: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    aliases: tuple[str, ...] = ()
    truth: str | None = None
    secret: bool = False


def _listen(about: str, precedent: str, **more: Any) -> Setting:
    return Setting("Where it listens", about, precedent, **more)


def _who(about: str, precedent: str, **more: Any) -> Setting:
    return Setting("Who may come", about, precedent, **more)


def _count(about: str, precedent: str, low: float, high: float, **more: Any) -> Setting:
    return Setting("How many", about, precedent, "", low, high, **more)


def _size(about: str, precedent: str, low: float, high: float = 1024 * MIB) -> Setting:
    return Setting("How large", about, precedent, "bytes", low, high)


def _clock(about: str, precedent: str, low: float = 0.05, high: float = 30 * DAY, unit: str = "s") -> Setting:
    return Setting("How long", about, precedent, unit, low, high)


def _state(about: str, precedent: str, **more: Any) -> Setting:
    return Setting("Questions within a request (2026-07-28)", about, precedent, **more)


# fmt: off
class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one server; `Config(port=0, ping=5)` validates at once and raises ConfigError."""

    host: Annotated[str, _listen(
        "name or address to bind (localhost: 127.0.0.1 and ::1), unix:/path, fd:N for a socket that it inherits, or "
        "systemd for those of its socket unit",
        "MCP: local servers SHOULD bind to localhost; gunicorn --bind unix:/path and fd://N",
        aliases=("MCP_SSE_HOST",),
    )] = "localhost"
    port: Annotated[int, _listen(
        "TCP port; 0 lets the system choose", "the guide's 3002", low=0, high=65535, aliases=("MCP_SSE_PORT", "PORT"),
    )] = 3002
    backlog: Annotated[int, _listen(
        "connections the kernel keeps until they are accepted", "Linux net.core.somaxconn 4096", low=1, high=65535,
    )] = 4096
    tls_cert: Annotated[str | None, _listen(
        "PEM file of the certificate and those between it and its root; with it everything is https",
        "nginx ssl_certificate",
    )] = None
    tls_key: Annotated[str | None, _listen(
        "PEM file of its key, if that is not in the same file", "nginx ssl_certificate_key",
    )] = None
    tls_client_ca: Annotated[str | None, _listen(
        "PEM file of those who sign the certificates of clients; without it none is asked for",
        "nginx ssl_client_certificate",
    )] = None
    tls_client_cert: Annotated[Literal["required", "optional"], _listen(
        "whether a client without such a certificate is turned away", "nginx ssl_verify_client on, optional",
    )] = "required"
    public_url: Annotated[str | None, _listen(
        "scheme://host[:port][/prefix] under which a proxy publishes this server", "Grafana root_url",
    )] = None
    loop: Annotated[Literal["auto", "uvloop", "asyncio"], _listen(
        "event loop; auto takes uvloop where it is installed", "uvicorn --loop auto",
    )] = "auto"
    http: Annotated[Literal["auto", "h11"], _listen(
        "request parser; auto scans plain heads in compiled code, h11 has every head read by h11",
        "uvicorn --http auto",
    )] = "auto"

    allowed_hosts: Annotated[tuple[str, ...], _who(
        "further Host values: name[:port], *.example.com, or * for any", "Django ALLOWED_HOSTS",
    )] = ()
    allowed_origins: Annotated[tuple[str, ...], _who(
        "browser origins, scheme://host[:port], or * for any", "the guide's ALLOWED_ORIGINS",
        aliases=("ALLOWED_ORIGINS",),
    )] = ()
    trusted_proxies: Annotated[tuple[str, ...], _who(
        "addresses and networks of proxies whose Forwarded or X-Forwarded-* headers are believed: unix for whoever "
        "comes through a Unix socket", "nginx set_real_ip_from: nobody by default",
    )] = ()
    tokens: Annotated[tuple[str, ...], _who(
        "bearer tokens that are let in, each `name: token [scopes]`; kept as SHA-256", "Kubernetes --token-auth-file",
        secret=True,
    )] = ()
    token_file: Annotated[str | None, _who(
        "file of such lines, # begins a comment; a token may stand there as sha256:<hex>", "Apache AuthUserFile",
    )] = None
    issuer: Annotated[str | None, _who(
        "authorization server that clients are sent to; the `iss` of its tokens", "RFC 9728 authorization_servers",
    )] = None
    jwks_url: Annotated[str | None, _who(
        "where that issuer publishes its keys: tokens (JWT) that they have signed are let in", "RFC 8414 jwks_uri",
    )] = None
    audience: Annotated[str | None, _who(
        "what those tokens have to be made for; without it public_url with /mcp or /sse", "RFC 8707",
    )] = None
    required_scopes: Annotated[tuple[str, ...], _who(
        "scopes that everybody needs", "Python SDK AuthSettings.required_scopes",
    )] = ()
    production: Annotated[bool, _who(
        "origins must be listed even on loopback, refusals are terse", "Express NODE_ENV=production",
        aliases=("NODE_ENV",), truth="production",
    )] = False

    max_streams: Annotated[int, _count(
        "open event streams; 0 = what the file descriptors allow", "nginx worker_connections", 0, 10_000_000,
        aliases=("MAX_CONNECTIONS",),
    )] = 0
    max_sessions: Annotated[int, _count(
        "sessions in the fixed table", "Tomcat maxConnections 8192", 1, 16_777_216,
    )] = 10_000
    shards: Annotated[int, _count(
        "parts of that table, each visited at least once a second; a power of two", "concurrent-map 32", 1, 4096,
    )] = 64
    max_calls: Annotated[int, _count(
        "requests in flight per session, and messages in one array", "nginx http2_max_concurrent_streams 128",
        1, 1_000_000,
    )] = 64
    max_subscriptions: Annotated[int, _count(
        "resources that one session or listener subscribes to", "Go SDK listen streams: 1024 events", 1, 1_000_000,
    )] = 1000
    open_rate: Annotated[float, _count(
        "sessions, and streams without one, that one client opens per second, ten seconds' worth at once; a client is "
        "its principal or its address (on this machine none is counted); 0 = any",
        "nginx limit_req examples: 10 r/s for an address; ten times that, for a company behind one", 0, 1_000_000,
    )] = 100.0
    session_rate: Annotated[float, _count(
        "requests per second in one session, ten seconds' worth at once; 0 = any",
        "searxng-mcp#179: a bucket of its own for a session", 0, 1_000_000,
    )] = 0.0
    client_rate: Annotated[float, _count(
        "requests per second of one client, ten seconds' worth at once; 0 = any", "nginx limit_req: off by default",
        0, 1_000_000,
    )] = 0.0
    fanout: Annotated[int, _count(
        "streams that one event for everybody reaches per turn of the event loop: about 2 ms",
        "mercure: dispatch yields", 1, 1_000_000,
    )] = 256
    ring_events: Annotated[int, _count(
        "events kept per stream for Last-Event-ID", "Centrifugo's examples keep 100", 0, 1_000_000,
    )] = 1000
    threads: Annotated[int, _count(
        "threads for plain functions; 0 = min(32, processors + 4)", "ThreadPoolExecutor", 0, 10_000,
    )] = 0

    max_body: Annotated[int, _size("one request body", "TypeScript SDK 4 MB", KIB)] = 4 * MIB
    max_bytes: Annotated[int, _size(
        "waiting and kept for all clients together: write buffers, replay rings, requests on their way; whoever holds "
        "most gives way", "Redis client-output-buffer-limit 256 MB, maxmemory-clients", 64 * KIB, 1024 * 1024 * MIB,
    )] = 256 * MIB
    max_depth: Annotated[int, Setting(
        "How large", "levels of arrays and objects in one request body", "PHP json_decode 512", "", 2, 900,
    )] = 512
    max_head: Annotated[int, _size(
        "request line and headers together", "nginx large_client_header_buffers 4 x 8 KiB", KIB, 16 * MIB,
    )] = 32 * KIB
    max_pipelined: Annotated[int, _size(
        "bytes of further requests that wait while one is served", "uvicorn 64 KiB", KIB,
    )] = 64 * KIB
    buffer_high: Annotated[int, _size(
        "waiting for one connection: from here on senders are asked to wait", "asyncio: four times its 64 KiB", KIB,
    )] = 256 * KIB
    buffer_max: Annotated[int, _size(
        "waiting for one connection: a slow consumer is closed", "Envoy per_connection_buffer_limit 1 MiB", KIB,
    )] = MIB
    ring_bytes: Annotated[int, _size(
        "bytes kept per stream for Last-Event-ID", "Go SDK event store 10 MiB for all streams", 0,
    )] = 256 * KIB

    head_timeout: Annotated[float, _clock(
        "until a request head is complete", "Red Hat's haproxy.cfg http-request 10 s",
    )] = 10.0
    body_timeout: Annotated[float, _clock("until a request body is complete", "Apache mod_reqtimeout body 20 s")] = 15.0
    keep_alive: Annotated[float, _clock(
        "a connection without request stays open", "nginx keepalive_timeout 75 s",
    )] = 75.0
    stall_timeout: Annotated[float, _clock(
        "a peer that takes none of its waiting bytes is closed", "NATS write_deadline 10 s",
    )] = 10.0
    peer_timeout: Annotated[float, _clock(
        "a peer whose machine answers nothing any more is given up (TCP_USER_TIMEOUT and keep-alive; Linux); 0 = off",
        "gRPC keepalive_timeout 20 s, three times that for phones", 0, DAY,
    )] = 60.0
    auth_timeout: Annotated[float, _clock(
        "until the application, or the keys of the issuer, have said who asks",
        "Kubernetes authentication webhooks: 10 s, three tries",
    )] = 10.0
    shed_lag: Annotated[float, _clock(
        "the event loop runs this late, again and again: no new sessions, streams and calls until it does not; 0 = off",
        "Fastify under-pressure maxEventLoopDelay 1000 ms", 0,
    )] = 1.0
    session_init: Annotated[float, _clock(
        "a session of which nothing was ever accepted", "PostgreSQL authentication_timeout 60 s",
    )] = 60.0
    session_lost: Annotated[float, _clock(
        "a session whose /sse stream was lost; 0 ends it at once", "SignalR DisconnectTimeout 30 s", 0,
    )] = 30.0
    stream_lost: Annotated[float, _clock(
        "a session whose standing GET stream was lost", "Socket.IO connection state recovery 2 min", 0,
    )] = 120.0
    session_idle: Annotated[float, _clock(
        "a session without stream and requests", "servlet session-timeout 30 min",
    )] = 1800.0
    ring_age: Annotated[float, _clock(
        "an event stays available for Last-Event-ID", "Ably connection recovery 2 min",
    )] = 300.0
    ping: Annotated[float, _clock(
        "between comments on a quiet stream", "WHATWG: a comment every 15 seconds or so",
    )] = 15.0
    heartbeat: Annotated[float, _clock("between heartbeat events on the plain event stream", "the guide's 30 s")] = 30.0
    sse_after: Annotated[float, _clock(
        "a call still running turns its answer into an event stream; 0 at once",
        "a quarter of nginx proxy_read_timeout 60 s", 0,
    )] = 15.0
    progress_gap: Annotated[float, _clock(
        "on /sse, from a call's last progress to its result",
        "measured: TypeScript clients on busy machines lose progress 5 ms before its result, none at 25 ms", 0, 10,
    )] = 0.025
    ask_timeout: Annotated[float, _clock(
        "a question to the client waits for its answer", "OpenSSH LoginGraceTime 2 min",
    )] = 300.0
    drain_timeout: Annotated[float, _clock(
        "calls in flight may finish once the server was told to stop", "docker stop 10 s", 0,
    )] = 10.0
    retry_ms: Annotated[int, _clock(
        "reconnection time told to clients of a stream that is closed on purpose",
        "TypeScript SDK initial delay 1000 ms", 0, 3_600_000, "ms",
    )] = 1000

    state_key: Annotated[str | None, _state(
        "secret that signs requestState, shared by all processes; without it one is made at start",
        "Django SECRET_KEY", secret=True,
    )] = None
    state_ttl: Annotated[float, _state(
        "a requestState stays valid", "RFC 6749 authorization code 10 min", unit="s", low=1, high=DAY,
    )] = 600.0

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Setting(
        "Logging", "least severe messages that are written", "uvicorn --log-level info",
    )] = "info"
    log_format: Annotated[Literal["text", "json"], Setting(
        "Logging", "lines for people, or one JSON object a line", "Traefik log.format",
    )] = "text"
    log_connections: Annotated[bool, Setting(
        "Logging",
        "a line for each closed connection at info instead of debug: peer, duration, requests, bytes, reason",
        "PostgreSQL log_disconnections off",
    )] = False
    traces: Annotated[bool, Setting(
        "Logging", "a span of OpenTelemetry for each call", "Traefik tracing, off unless configured",
    )] = False
    # fmt: on

    def __post_init__(self) -> None:
        for name in SETTINGS:
            msgspec.structs.force_setattr(self, name, check(name, getattr(self, name)))
        if self.shards & (self.shards - 1):
            raise refusal("shards", self.shards, "a power of two")
        if self.max_sessions > self.shards << 20:  # an id has 20 bits for the place in its shard
            raise refusal("max_sessions", self.max_sessions, f"at most {self.shards << 20} with {self.shards} shards")
        for name in ("tls_key", "tls_client_ca"):
            if getattr(self, name) is not None and self.tls_cert is None:
                raise refusal(name, getattr(self, name), "accompanied by tls_cert")
        if not self.buffer_high <= self.buffer_max:
            raise refusal("buffer_high", self.buffer_high, f"at most buffer_max, which is {self.buffer_max}")
        if self.jwks_url is not None and self.issuer is None:
            raise refusal("issuer", "none", "set, with jwks_url: whose keys are they?")
        if self.jwks_url is not None and self.audience is None and self.public_url is None:
            raise refusal("audience", "none", "set, with jwks_url, unless public_url says under which URL clients come")
        if self.state_key is not None and len(self.state_key.encode()) < 16:
            raise refusal("state_key", "a shorter one", "at least 16 bytes, better 32 random ones")

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in SETTINGS}
        changed = (f"{name}={shown(name, value)}" for name, value in values.items() if value != DEFAULTS[name])
        return f"Config({', '.join(changed)})"


_HINTS: Final = get_type_hints(Config, include_extras=True)
SETTINGS: Final[dict[str, Setting]] = {name: get_args(_HINTS[name])[1] for name in Config.__struct_fields__}
"""Field name to Setting, in the order of the class."""
TYPES: Final[dict[str, Any]] = {name: get_args(_HINTS[name])[0] for name in Config.__struct_fields__}
DEFAULTS: Final[dict[str, Any]] = dict(zip(Config.__struct_fields__, Config.__struct_defaults__, strict=True))


def choices(name: str) -> tuple[str, ...] | None:
    """The accepted words of a field, or None when it is not a choice."""
    return get_args(TYPES[name]) if get_origin(TYPES[name]) is Literal else None


def shown(name: str, value: Any) -> str:
    """A value as logs and `fastsse config` may show it: secrets hidden."""
    return "(hidden)" if SETTINGS[name].secret and value is not None else repr(value)


# -- one value ------------------------------------------------------------------------------------------------------


def check(name: str, value: Any) -> Any:
    """The field's value in its normal form; raises ConfigError."""
    words, kind = choices(name), TYPES[name]
    if words is not None:
        if value not in words:
            raise refusal(name, repr(value), "one of " + ", ".join(words))
        return value
    if kind is bool:
        if not isinstance(value, bool):
            raise refusal(name, value, "true or false")
        return value
    if kind in (int, float):
        return _number(name, kind, value)
    if kind == tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise refusal(name, "(hidden)" if SETTINGS[name].secret else value, "a list of strings")
        entries = {"allowed_hosts": host, "trusted_proxies": network, "tokens": token, "required_scopes": scope}
        return tuple(dict.fromkeys(entries.get(name, origin)(name, entry) for entry in value))
    if value is None and kind == str | None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise refusal(name, "(empty)" if value == "" else repr(value), "a text that is not empty")
    if name == "public_url":
        return public_url(value)
    if name in ("issuer", "jwks_url"):
        return url(name, value)
    return where(value.strip()) if name == "host" else value


def _number(name: str, kind: type, value: Any) -> int | float:
    low, high, unit = SETTINGS[name].low, SETTINGS[name].high, SETTINGS[name].unit
    assert low is not None
    assert high is not None
    wanted = f"{'a whole number' if kind is int else 'a number'} from {low:.12g} to {high:.12g} {unit}".rstrip()
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        raise refusal(name, repr(value), wanted)
    if not low <= value <= high:  # also refuses nan
        raise refusal(name, repr(value), wanted)
    return float(value) if kind is float else int(value)
