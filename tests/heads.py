"""Request heads for the tests and for scripts/fuzz: real ones, made-up ones from a grammar of ordinary and hostile
parts, mutations of both, and the two questions asked of all of them.

`verify_scan`: does `scan` agree with its twin and, where it takes a head, with h11 in every field?
`verify_requests`: do `Requests` with and without the scanner read the same from any bytes in any pieces, and is that
what h11 reads?
"""

from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import islice
from random import Random

import h11

import oracle
from fastsse._framing import Head, again, scan
from fastsse.errors import RequestRefused
from fastsse.http11 import Requests

# As sent by: the Python SDK (httpx), its GET /sse, the TypeScript SDK (undici), Chrome's EventSource and its preflight,
# curl, curl -T -, curl with a large body, Go, reqwest, Java's HttpClient, wrk, nginx in between, ab, HAProxy's check,
# kubelet, Prometheus.
_AS_SENT = """\
POST /mcp HTTP/1.1
Host: 127.0.0.1:3002
Accept-Encoding: gzip, deflate
Connection: keep-alive
User-Agent: python-httpx/0.28.1
accept: application/json, text/event-stream
content-type: application/json
mcp-session-id: 0123abcd-1234-4321-8abc-0123456789ab
mcp-protocol-version: 2025-11-25
Content-Length: 12

GET /sse HTTP/1.1
Host: localhost:3002
Accept: text/event-stream
Accept-Encoding: gzip, deflate
Connection: keep-alive
User-Agent: python-httpx/0.28.1
Cache-Control: no-store

POST /mcp HTTP/1.1
host: localhost:3002
connection: keep-alive
authorization: Bearer abc.def-ghi_jkl
content-type: application/json
accept: application/json, text/event-stream
mcp-method: tools/call
mcp-name: echo
mcp-protocol-version: 2026-07-28
accept-language: *
sec-fetch-mode: cors
user-agent: node
accept-encoding: gzip, deflate
content-length: 12

GET /mcp?events=heartbeat,notification HTTP/1.1
Host: [::1]:3002
Connection: keep-alive
sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"
sec-ch-ua-mobile: ?0
Accept: text/event-stream
Cache-Control: no-cache
Origin: http://localhost:5173
Sec-Fetch-Site: same-site
Sec-Fetch-Mode: cors
Sec-Fetch-Dest: empty
Referer: http://localhost:5173/
Accept-Language: de-DE,de;q=0.9
Last-Event-ID: 0123abcd-1234-4321-8abc-0123456789ab/17

OPTIONS /mcp HTTP/1.1
Host: localhost:3002
Accept: */*
Access-Control-Request-Method: POST
Access-Control-Request-Headers: content-type,mcp-session-id
Origin: https://example.com

POST /message?sessionId=0123abcd-1234-4321-8abc-0123456789ab HTTP/1.1
Host: localhost:3002
User-Agent: curl/8.5.0
Accept: */*
Content-Type: application/json
Content-Length: 12

PUT /mcp HTTP/1.1
Host: localhost:3002
User-Agent: curl/8.5.0
Accept: */*
Transfer-Encoding: chunked
Expect: 100-continue

POST /mcp HTTP/1.1
Host: localhost:3002
User-Agent: curl/8.5.0
Accept: */*
Content-Length: 12
Content-Type: application/json
Expect: 100-continue

POST /mcp HTTP/1.1
Host: mcp.example.com
User-Agent: Go-http-client/1.1
Content-Length: 12
Accept: application/json, text/event-stream
Content-Type: application/json
Accept-Encoding: gzip

POST /mcp HTTP/1.1
accept: text/event-stream, application/json
mcp-session-id: 0123abcd
content-type: application/json
content-length: 12
host: localhost:3002

GET /health HTTP/1.1
Connection: Upgrade, HTTP2-Settings
Host: localhost:3002
HTTP2-Settings: AAEAAEAA
Upgrade: h2c
User-Agent: Java-http-client/21.0.2

GET / HTTP/1.1
Host: 127.0.0.1:3002

POST /mcp HTTP/1.1
Host: mcp.example.com
X-Real-IP: 203.0.113.7
X-Forwarded-For: 203.0.113.7
X-Forwarded-For: 10.0.0.1
X-Forwarded-Proto: https
Connection:
Content-Length: 12
Cookie: a=b; c="d"

GET /health HTTP/1.0
Connection: Keep-Alive
Host: localhost:3002
User-Agent: ApacheBench/2.3

OPTIONS / HTTP/1.0

GET /ready HTTP/1.1
Host: 10.1.2.3:3002
User-Agent: kube-probe/1.31
Accept: */*
Connection: close

GET /metrics HTTP/1.1
Host: prometheus_target:3002
X-Prometheus-Scrape-Timeout-Seconds: 10
Accept: application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.1
"""
REAL = [head.strip().replace("\n", "\r\n").encode() + b"\r\n\r\n" for head in _AS_SENT.split("\n\n")]

METHODS = [b"GET", b"POST", b"DELETE", b"OPTIONS", b"HEAD", b"PUT", b"PATCH", b"get", b"M-SEARCH",
           b"!#$%&'*+-.^_`|~", b"CONNECT", b"CONNECTED", b"PRI", b"", b"PO ST", b"P\x00ST", b"GE(T", b"G\xc3\x84T",
           b"X" * 70]  # fmt: skip
TARGETS = [b"/", b"/mcp", b"/sse", b"/message?sessionId=a-b", b"/a?b?c", b"/?", b"/%00%zz", b"//evil/x",
           b"/a//b/../c;d=e", b'/"<>\\^`{|}', b"/a?" + b"b" * 99, b"*", b"http://localhost/x?y",
           b"HTTP://LOCALHOST:80?y", b"https://localhost:443", b"http://evil/x", b"http://user@localhost/",
           b"http:///x", b"ftp://localhost/", b"localhost:3002", b"mcp", b"/a#b", b"/a b", b"/\xc3\xa4", b"/a\tb",
           b"/\x7f", b"", b"/a\rb", b"?"]  # fmt: skip
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/2.0", b"http/1.1", b"HTTP/11", b"HTTP/1.1 ",
            b"HTTP/1.", b"HTTP/+1.1", b"HTTP/1.10", b"HTTPS/1.1", b""]  # fmt: skip
VALUES: dict[bytes, list[bytes]] = {
    b"Host": [b"localhost", b"localhost:3002", b"127.0.0.1:80", b"[::1]", b"[::1]:3002", b"LOCALHOST:80",
              b"a_b-c.example", b"", b"a:", b":80", b"a:b", b"[::1", b"::1", b"[]", b"[::1]x", b"a b", b"a,b",
              b"a@b", b"a/b", b"a:80:90", b"%41", b"[v1.a]", b"\xe4"],
    b"Content-Length": [b"0", b"3", b"12", b"0003", b"999999999999", b"1099511627776", b"9" * 20, b"0" * 30 + b"3",
                        b"", b"+3", b"-3", b"0x3", b"3,3", b"3, 3", b"3,4", b"3 3", b"3.0", b"\xb3", b"3;a", b"1e3"],
    b"Transfer-Encoding": [b"chunked", b"Chunked", b"chunked, chunked", b"gzip, chunked", b"chunked, identity",
                           b"identity", b"xchunked", b"chunked;a=b", b"\x0bchunked", b"", b"chunked,", b'"chunked"'],
    b"Connection": [b"keep-alive", b"Keep-Alive", b"close", b"CLOSE", b"", b"keep-alive, close", b"Upgrade",
                    b"close,", b", ,keep-alive", b"te, close", b"closed", b"keep-alive, Content-Length"],
    b"Expect": [b"100-continue", b"100-Continue", b"", b"200-ok", b"100-continue, 100-continue"],
    b"Upgrade": [b"h2c", b"websocket", b""],
    b"Accept": [b"application/json, text/event-stream", b"*/*", b"", b"Application/JSON, text/event-stream"],
    b"Content-Type": [b"application/json", b"application/json; charset=utf-8", b"text/plain", b""],
    b"Origin": [b"http://localhost:3002", b"null", b""],
    b"Mcp-Session-Id": [b"0123abcd-1234-4321-8abc-0123456789ab", b"", b"a b"],
    b"MCP-Protocol-Version": [b"2025-11-25", b"2026-07-28", b"x"],
    b"Mcp-Method": [b"tools/call", b""],
    b"Mcp-Name": [b"echo", b"=?base64?w6Q=?="],
    b"Last-Event-ID": [b"0123/17", b""],
    b"Authorization": [b"Bearer abc", b"Bearer"],
    b"Cookie": [b"a=b", b'c="d"; e'],
    b"X-Forwarded-For": [b"10.0.0.1"],
    b"Trailer": [b"x"],
    b"TE": [b"trailers"],
}  # fmt: skip
ODD_NAMES = [b"Host ", b" Host", b"Ho st", b"", b"X-A", b"X_A", b"x" * 64, b"Content_Length", b"Content-Length ",
             b"Content\rLength", b"Transfer-Encoding\t", b"Transfer\rEncoding", b"Hos", b"Hostt", b"accep",
             b"Acceptt", b"Mcp-Session\rId", b"mcp", b"\xe4", b"a:b", b"(a)", b"Mcp-Nam", b"KEEP-ALIVE"]  # fmt: skip
ODD_VALUES = [b"", b"a", b"\ta\t", b"a  b\tc", b"\xc3\xa4", b"\xa0", b"a\x00b", b"a\x01b", b"\x7f", b"a\x0bb",
              b"a\rb", b"a\nb", b"a\r\n b", b"a\r\n\tb", b"\r\n b", b"y" * 300, b"1234567\x1f", b"12345678\x80",
              b"a:b", b"\x0c"]  # fmt: skip
BLANKS = [b" ", b"", b"  ", b"\t", b" \t ", b"\x0b", b"\xa0"]
ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n\r\n", b"\r\n ", b""]
CHUNKS = [b"3\r\nabc\r\n", b"0003\r\nabc\r\n", b"A\r\n0123456789\r\n", b"3;a=b\r\nabc\r\n",
          b'3;a="b;\\" "\r\nabc\r\n', b"3 \r\nabc\r\n", b" 3\r\nabc\r\n", b"3;\r\nabc\r\n", b"3; a\r\nabc\r\n",
          b"+3\r\nabc\r\n", b"-3\r\nabc\r\n", b"0x3\r\nabc\r\n", b"3\nabc\n", b"3\r\nabc\n", b"3\r\nabcd\r\n",
          b"3\r\nab\r\n", b"\r\n", b"3\r\r\nabc\r\n", b"3;a\nb\r\nabc\r\n", b"3;a\rb\r\nabc\r\n",
          b"ffffffffffffffff\r\n", b"10000000000000003\r\nabc\r\n", b"00000000000000003\r\nabc\r\n", b"g\r\n",
          b"3_0\r\n"]  # fmt: skip
LAST_CHUNKS = [b"0\r\n\r\n", b"000\r\n\r\n", b"0;a\r\n\r\n", b"0\r\nX: y\r\n\r\n",
               b"0\r\nX: y\r\nY:\r\n\r\n", b"0\r\nContent-Length: 3\r\n\r\n", b"0\n\n", b"0\r\n\n", b"0\r\nX y\r\n\r\n",
               b"0\r\nX: y\n\r\n", b"0\r\nX: y\r\n z\r\n\r\n", b"0\r\n", b"-0\r\n\r\n", b"0\r\nX : y\r\n\r\n",
               b""]  # fmt: skip


def _pick(rng: Random, usual: int, choices: list[bytes], odd: float) -> bytes:
    """One of the first `usual` choices, or with probability `odd` any."""
    return rng.choice(choices if rng.random() < odd else choices[:usual])


def _recase(rng: Random, name: bytes) -> bytes:
    return rng.choice([name, name.lower(), name.upper(), name.swapcase()])


def made_up(rng: Random) -> bytes:
    """A head (or what somebody may take for one) and often a body; ordinary or a little hostile or very."""
    odd = rng.choice([0.0, 0.02, 0.1, 0.5])
    out = [_pick(rng, 5, METHODS, odd), b" ", _pick(rng, 11, TARGETS, odd), b" ", _pick(rng, 2, VERSIONS, odd)]
    out.append(_pick(rng, 1, ENDS, odd / 4))
    names = [b"Host"] if rng.random() >= odd / 2 else []
    names += rng.sample(list(VALUES)[6:], rng.randrange(6))
    names += rng.sample(list(VALUES)[1:6], rng.randrange(3)) if rng.random() < 0.5 + odd else []  # those that frame
    names += [rng.choice(list(VALUES))] if rng.random() < odd else []
    rng.shuffle(names)
    for name in names:
        out.append(_recase(rng, name) if rng.random() >= odd / 3 else rng.choice(ODD_NAMES))
        out += [b":", _pick(rng, 2, BLANKS, odd)]
        out.append(_pick(rng, 3, VALUES[name], max(odd, 0.15)) if rng.random() >= odd / 3 else rng.choice(ODD_VALUES))
        out.append(b"" if rng.random() < 0.9 else b" \t")
        out.append(_pick(rng, 1, ENDS, odd / 4))
    out.append(_pick(rng, 1, ENDS, odd / 4))
    return b"".join(out) + body(rng, odd)


def body(rng: Random, odd: float) -> bytes:
    """What may follow a head: a chunked body, some bytes, nothing."""
    kind = rng.random()
    if kind < 0.4:
        chunks = b"".join(_pick(rng, 5, CHUNKS, odd) for _ in range(rng.randrange(4)))
        return chunks + _pick(rng, 5, LAST_CHUNKS, odd)
    return b"" if kind < 0.7 else rng.choice([b"abc", b"0123456789ab", b"\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\n"])


def real(rng: Random) -> bytes:
    """A real head and, if it announces one, its body."""
    head = rng.choice(REAL)
    if b"chunked" in head:
        return head + rng.choice(CHUNKS[:5]) + rng.choice(LAST_CHUNKS[:5])
    return head + b"0123456789ab" if b"-length: 12" in head.lower() else head


def mutated(rng: Random, data: bytes) -> bytes:
    """A few bytes or lines changed, doubled, dropped or moved."""
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + rng.choice(BLANKS + ENDS + ODD_VALUES + [b":", b"?", b"#"]) + data[at:]
        elif kind == 2:
            data = data[:at] + data[at + rng.choice([1, 1, 2, 8]) :]
        else:
            lines = data.split(b"\r\n")
            line = rng.choice(lines)
            if kind == 3:
                lines.insert(rng.randrange(len(lines)), line)
            else:
                name = rng.choice(list(VALUES))
                lines.insert(rng.randrange(len(lines)), name + b": " + rng.choice(VALUES[name]))
            data = b"\r\n".join(lines)
    return data


def anything(rng: Random) -> bytes:
    """One input for the two questions: one to three requests of any kind, one after the other."""
    kinds: list[Callable[[], bytes]] = [
        lambda: made_up(rng),
        lambda: made_up(rng),
        lambda: real(rng),
        lambda: mutated(rng, real(rng)),
        lambda: mutated(rng, made_up(rng)),
    ]
    return b"".join(rng.choice(kinds)() for _ in range(rng.choice([1, 1, 2, 3])))


# --- the two questions

ATTRIBUTES = [field.name for field in fields(oracle.Head) if field.name != "size"]

Seen = dict[str, object]


def seen(head: Head | oracle.Head) -> Seen:
    """Everything a head says but how many bytes it took, which h11 does not tell."""
    return {name: getattr(head, name) for name in ATTRIBUTES}


def verify_scan(data: bytes, start: int = 0) -> Head | None:
    """AssertionError unless `scan` agrees with its twin, and with `Requests` and h11 if it took the head."""
    head, twin = scan(data, start), oracle.scan(data, start)
    assert (head is None) == (twin is None), (head and seen(head), twin)
    if head is None or twin is None:
        return None
    assert seen(head) == seen(twin)
    assert head.size == twin.size
    for name, _ in head.fields:
        fresh = scan(data, start)
        assert fresh is not None
        assert fresh.all(name) == [value for known, value in head.fields if known == name]
    careful = Requests(head.size, 0, plain=False)
    careful.receive(data[start:])
    taken = careful.head()
    assert taken is not None
    assert seen(taken) == seen(head)
    (first, *_) = _as_h11_reads(data[start : start + head.size])
    assert first[:4] == (head.method, head.target, head.minor, head.fields)
    assert verify_again(head, data, start) is not None
    return head


def verify_again(last: Head, data: bytes, start: int = 0) -> Head | None:
    """AssertionError unless `again` declines or finds what `scan` and its twin do."""
    found = again(last, data, start)
    if found is not None:
        assert seen(found) == seen(oracle.again(last, data, start))  # type: ignore[arg-type]
        scanned = scan(data, start)
        assert scanned is not None
        assert (found.size, seen(found)) == (scanned.size, seen(scanned))
        for name, _ in found.fields:
            assert found.all(name) == scanned.all(name)
    return found


Request = tuple[Seen, bytes]
Outcome = tuple[list[Request], int | None]


def read(data: bytes, plain: bool, cuts: Iterable[int] = (), max_head: int = 4096, max_body: int = 4096) -> Outcome:
    """The requests in data, received in the pieces between the cuts; the status of the refusal at the end, if any."""
    requests = Requests(max_head, max_body, plain)
    taken: list[Request] = []
    last = 0
    try:
        for cut in (*cuts, len(data), None):
            if cut is None:
                requests.at_eof()
            else:
                requests.receive(data[last:cut])
                last = cut
            while (head := requests.head()) is not None and (content := requests.body()) is not None:
                taken.append((seen(head), content))
                requests.done()
    except RequestRefused as refused:
        return taken, refused.status
    assert not requests.begun
    return taken, None


def verify_requests(data: bytes, cuts: list[int], max_head: int = 4096, max_body: int = 4096) -> Outcome:
    """AssertionError unless all ways to read data give the same, and what h11 gives."""
    outcome = read(data, True, (), max_head, max_body)
    for plain in (True, False):
        for pieces in ((), sorted(cuts), range(1, len(data))):
            other = read(data, plain, pieces, max_head, max_body)
            assert other == outcome, (plain, pieces)
    taken, _ = outcome
    for (head, content), theirs in zip(taken, islice(_as_h11_reads(data), len(taken)), strict=True):
        method, target, minor, fields, keep_alive, their_content = theirs
        assert (head["method"], head["target"], head["minor"], head["fields"]) == (method, target, minor, fields)
        assert content == their_content
        # h11 never keeps a connection of HTTP/1.0.
        assert head["keep_alive"] == keep_alive or not minor
    return outcome


def _as_h11_reads(data: bytes) -> Iterable[tuple[bytes, bytes, int, list[tuple[bytes, bytes]], bool, bytes]]:
    """Request after request as h11 reads them by itself, until bytes are missing; a body as far as it has arrived."""
    while data:
        reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        reader.receive_data(data.removeprefix(b"\r\n"))
        request = reader.next_event()
        if not isinstance(request, h11.Request):
            return
        content = b""
        while isinstance(event := reader.next_event(), h11.Data):
            content += event.data
        reader.send(h11.Response(status_code=204, headers=[]))
        reader.send(h11.EndOfMessage())
        keep_alive = reader.our_state is not h11.MUST_CLOSE
        yield request.method, request.target, int(request.http_version[2:]), list(request.headers), keep_alive, content
        data = reader.trailing_data[0]
