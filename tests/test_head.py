"""`Head` and `scan`: what the scanner takes and what it leaves to h11, against its twin and against h11."""

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import heads
import oracle
from fastsse._framing import Head, scan

CALL = heads.REAL[0]
randoms = st.randoms(use_true_random=False)

# What is not plain, in a head that else is.
DECLINED = {
    "no Host": b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "no fields": b"GET / HTTP/1.0\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "empty Host": b"GET / HTTP/1.1\r\nHost: \r\n\r\n",
    "Host with user": b"GET / HTTP/1.1\r\nHost: b@a\r\n\r\n",
    "Host with two ports": b"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n",
    "Host with an empty port": b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
    "bare IPv6": b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
    "open bracket": b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "text behind the bracket": b"GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n",
    "two Accepts": b"GET / HTTP/1.1\r\nHost: a\r\nAccept: a\r\nACCEPT: a\r\n\r\n",
    "two session ids": b"GET / HTTP/1.1\r\nHost: a\r\nMcp-Session-Id: a\r\nmcp-session-id: a\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "a list of lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
    "an empty length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nx",
    "a signed length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    "a length of 13 digits": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000001\r\n\r\nx",
    "chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Expect": b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    "Upgrade": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n",
    "a list in Connection": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, te\r\n\r\n",
    "two Connections": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: close\r\n\r\n",
    "an empty Connection": b"GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\n\r\n",
    "absolute-form": b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk-form": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment": b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "http/1.1": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "obs-text": b"GET / HTTP/1.1\r\nHost: a\r\nX-Name: \xe4\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: a\r\nX-Name: a\r\n b\r\n\r\n",
    "a blank before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare CR in a known name": b"GET / HTTP/1.1\r\nHost: a\r\nMcp\rSession-Id: a\r\n\r\n",
    "an empty line in front": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("data", DECLINED.values(), ids=DECLINED)
def test_what_is_not_plain_is_declined(data: bytes) -> None:
    assert heads.verify_scan(data) is None


@pytest.mark.parametrize("data", heads.REAL)
def test_a_head_is_taken_whole_and_nothing_else(data: bytes) -> None:
    head = heads.verify_scan(data)
    for end in range(len(data)):
        assert scan(data[:end]) is None
    for rest in (b"x", b"\r\n", b"{}" * 40, data):
        again = heads.verify_scan(data + rest)
        behind = heads.verify_scan(rest + data, len(rest))
        for other in (again, behind):
            assert (head and heads.seen(head)) == (other and heads.seen(other))
        assert head is None or (again is not None and again.size == len(data))


def test_most_real_heads_are_plain() -> None:
    assert sum(scan(data) is not None for data in heads.REAL) == 12  # not: Expect twice, h2c, Connection empty, no Host


@given(randoms)
def test_scan_agrees_with_its_twin_and_with_h11(rng: Random) -> None:
    heads.verify_scan(heads.anything(rng))


@given(st.binary(max_size=300), st.integers(-2, 310))
@example(b"", 0)
def test_scan_agrees_on_arbitrary_bytes(data: bytes, start: int) -> None:
    heads.verify_scan(data, start)
    heads.verify_scan(CALL + data, start)


def test_every_byte_at_every_place_of_a_head() -> None:
    data = b"POST /m?a HTTP/1.1\r\nHost: [::1]:3002\r\nX-A: \tb c\r\nContent-Length: 12\r\nAccept: text/plain\r\n\r\n"
    last = scan(data)
    assert last is not None
    for at in range(len(data)):
        for byte in range(256):
            changed = data[:at] + bytes([byte]) + data[at + 1 :]
            head, twin = scan(changed), oracle.scan(changed)
            assert (head and heads.seen(head)) == (twin and heads.seen(twin)), changed
            heads.verify_again(last, changed)


LENGTHS = [b"1", b"12", b"012", b"999999999999", b"0", b"12 ", b"12\t "]
NO_LENGTHS = [b"", b" ", b"-1", b"1 2", b"1,1", b"1\r\nContent-Length: 1", b"1\r\n", b"0000000000001", b"1" * 18, b"x"]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("before", LENGTHS)
def test_a_head_with_another_length_is_the_same_again(before: bytes, length: bytes) -> None:
    head = b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\nX-A: b\r\n\r\n"
    last = scan(b"{}" + head % before + b"{}", 2)
    assert last is not None
    found = heads.verify_again(last, head % length + b"{}")
    assert (found is not None) == (before.strip(b"0123456789") == length.strip(b"0123456789"))
    assert found is None or found.content_length == int(length)


@pytest.mark.parametrize("length", NO_LENGTHS)
def test_what_is_no_length_is_declined_again(length: bytes) -> None:
    head = b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\nX-A: b\r\n\r\n"
    last = scan(head % b"12")
    assert last is not None
    assert heads.verify_again(last, head % length) is None


@pytest.mark.parametrize("data", heads.REAL)
def test_a_head_that_is_not_whole_is_declined_again(data: bytes) -> None:
    last = scan(data)
    if last is None:
        return
    assert all(heads.verify_again(last, data[:end]) is None for end in range(last.size))
    assert heads.verify_again(last, b"x" + data) is None
    assert heads.verify_again(last, b"x" + data, 1) is not None
    for start in (-1, len(data), len(data) + 1):
        assert heads.verify_again(last, data, start) is None
    by_h11 = Head.of(last.method, last.target, last.minor, last.fields, last.keep_alive, last.content_length, False)
    assert heads.verify_again(by_h11, data) is None


@given(randoms)
def test_a_head_after_any_other_is_read_as_if_alone(rng: Random) -> None:
    data = heads.anything(rng)
    last = scan(data)
    if last is None:
        return
    other = bytearray(data)
    for _ in range(rng.randrange(3)):
        other[rng.randrange(len(other))] = (
            rng.choice(b"0123456789 \r\n:aA") if rng.random() < 0.8 else rng.randrange(256)
        )
    heads.verify_again(last, bytes(other))
    heads.verify_again(last, heads.anything(rng))


@pytest.mark.parametrize("size", range(40))
def test_a_forbidden_byte_is_found_wherever_it_stands_in_a_value(size: int) -> None:
    for byte in b"\x00\x1f\x7f\x80\xa0\xff\n\r":
        for at in range(size):
            value = bytearray(b"~ " * 20)[:size]
            value[at] = byte
            assert scan(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + bytes(value) + b"\r\n\r\n") is None
    head = scan(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"\t" * size + b"~\r\n\r\n")
    assert head is not None
    assert head.get(b"x") == b"~"


def test_what_a_head_says() -> None:
    head = scan(b"{}" + CALL, 2)
    assert head is not None
    assert (head.method, head.target, head.path, head.query, head.minor) == (b"POST", b"/mcp", b"/mcp", b"", 1)
    assert (head.keep_alive, head.content_length, head.expect_continue, head.size) == (True, 12, False, len(CALL))
    assert (head.host, head.accept) == (b"127.0.0.1:3002", b"application/json, text/event-stream")
    assert (head.content_type, head.protocol_version) == (b"application/json", b"2025-11-25")
    assert head.session_id == b"0123abcd-1234-4321-8abc-0123456789ab"
    absent = (head.origin, head.mcp_method, head.mcp_name, head.last_event_id, head.authorization)
    assert absent == (None,) * 5
    assert head.get(b"user-agent") == b"python-httpx/0.28.1"
    assert head.get(b"user-agen") is None
    assert head.get(b"ser-agent") is None
    assert head.all(b"host") == [b"127.0.0.1:3002"]
    assert head.all(b"x") == []
    assert head.fields[:2] == [(b"host", b"127.0.0.1:3002"), (b"accept-encoding", b"gzip, deflate")]
    assert len(head.fields) == 9
    assert head.get(b"accept-encoding") == b"gzip, deflate"


def test_names_in_any_case() -> None:
    for data in (CALL, CALL.replace(b"accept:", b"ACCEPT:").replace(b"Host", b"hOsT").replace(b"mcp-", b"MCP-")):
        head = scan(data)
        assert head is not None
        assert head.protocol_version == b"2025-11-25"
        assert head.get(b"accept") == b"application/json, text/event-stream"


def test_lines_with_the_same_name_are_told_and_joined() -> None:
    head = scan(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-b:\r\nx-a:  2, 3 \r\n\r\n")
    assert head is not None
    assert head.repeated
    assert head.all(b"x-a") == [b"1", b"2, 3"]
    assert head.get(b"x-a") == b"1, 2, 3"
    assert head.get(b"x-b") == b""


def test_a_head_from_parts() -> None:
    parts = [(b"host", b"a"), (b"accept", b"x"), (b"mcp-name", b"echo"), (b"accept", b"y"), (b"origin", b"")]
    head = Head.of(b"POST", b"/mcp?a=b?c", 0, parts, False, -1, True)
    assert (head.path, head.query, head.minor, head.size) == (b"/mcp", b"a=b?c", 0, 0)
    assert (head.keep_alive, head.content_length, head.expect_continue) == (False, -1, True)
    assert (head.host, head.accept, head.mcp_name, head.origin) == (b"a", b"x, y", b"echo", b"")
    assert head.repeated
    assert head.all(b"accept") == [b"x", b"y"]
    assert head.fields == parts
    assert not Head.of(b"GET", b"/", 1, [(b"host", b"a")], True, 0, False).repeated


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a/b?", b"/a/b", b""),
        (b"/a?b://c/d", b"/a", b"b://c/d"),
        (b"/a://b/c", b"/a://b/c", b""),
        (b"http://a", b"/", b""),
        (b"http://a?b/c", b"/", b"b/c"),
        (b"HTTPS://a:1/b/c?d", b"/b/c", b"d"),
        (b"*", b"*", b""),
    ],
)
def test_path_and_query_of_every_form_of_target(target: bytes, path: bytes, query: bytes) -> None:
    head = Head.of(b"GET", target, 1, [], True, 0, False)
    assert (head.target, head.path, head.query) == (target, path, query)


def test_a_head_cannot_be_made_or_changed_otherwise() -> None:
    with pytest.raises(TypeError):
        Head()
    head = scan(CALL)
    for name in heads.ATTRIBUTES:
        with pytest.raises(AttributeError):
            setattr(head, name, None)


def test_only_bytes_are_scanned() -> None:
    for data in (None, bytearray(CALL), memoryview(CALL), CALL.decode()):
        with pytest.raises(TypeError):
            scan(data)  # type: ignore[arg-type]
