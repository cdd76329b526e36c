"""`Requests`: what it reads, what it refuses, what it holds.

Every case runs whole, byte by byte, with a request behind it, by the scanner and by h11 alone.
"""

import gc
from random import Random
from sys import getrefcount
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import heads
from fastsse import http11
from fastsse.errors import RequestRefused
from fastsse.http11 import Requests

randoms = st.randoms(use_true_random=False)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /mcp HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n"

# --- what is read: the bytes, and what to find in the head (and the body)

READ: dict[str, tuple[bytes, dict[str, Any]]] = {
    "plain": (GET + b"\r\n", {"method": b"GET", "path": b"/", "minor": 1, "keep_alive": True, "content_length": 0}),
    "a body": (POST + b"Content-Length: 3\r\n\r\nabc", {"content_length": 3, "body": b"abc"}),
    "a body of zero bytes": (POST + b"Content-Length: 0\r\n\r\n", {"content_length": 0, "body": b""}),
    "leading zeros": (POST + b"Content-Length: 0003\r\n\r\nabc", {"content_length": 3, "body": b"abc"}),
    "a body with a GET": (GET + b"Content-Length: 3\r\n\r\nabc", {"method": b"GET", "body": b"abc"}),
    "an empty line in front": (b"\r\n" + POST + b"Content-Length: 3\r\n\r\nabc", {"body": b"abc"}),
    "close": (GET + b"Connection: close\r\n\r\n", {"keep_alive": False}),
    "close in a list": (GET + b"Connection: foo , CLOSE\r\n\r\n", {"keep_alive": False}),
    "close on a second line": (GET + b"Connection: foo\r\nConnection: close\r\n\r\n", {"keep_alive": False}),
    "a word with close in it": (GET + b"Connection: closed\r\n\r\n", {"keep_alive": True}),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", {"minor": 0, "keep_alive": False, "host": None}),
    "HTTP/1.0 kept": (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", {"minor": 0, "keep_alive": True}),
    "HTTP/1.0 both": (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", {"keep_alive": False}),
    "expect": (
        POST + b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc",
        {"expect_continue": True, "body": b"abc"},
    ),
    "expect in HTTP/1.0": (b"GET / HTTP/1.0\r\nExpect: 200-ok\r\n\r\n", {"expect_continue": False}),
    "an offer to upgrade": (GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", {"keep_alive": True}),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", {"target": b"*", "path": b"*"}),
    "absolute": (b"GET http://A:80/b?c HTTP/1.1\r\nHost: a\r\n\r\n", {"path": b"/b", "query": b"c", "host": b"a"}),
    "absolute, port in Host": (b"GET HTTPS://a HTTP/1.1\r\nHost: A:443\r\n\r\n", {"path": b"/"}),
    "obs-text": (GET + b"X: \xe4\r\n\r\n", {"fields": [(b"host", b"a"), (b"x", b"\xe4")]}),
    "an empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", {"host": b""}),
    "chunks": (
        CHUNKED + b"3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n",
        {"content_length": -1, "body": b"abc0123456789"},
    ),
    "no chunks": (CHUNKED + b"0\r\n\r\n", {"content_length": -1, "body": b""}),
    "Chunked": (POST + b"transfer-encoding:CHUNKED\r\n\r\n1\r\n\r\r\n0\r\n\r\n", {"body": b"\r"}),
    "chunk extensions": (CHUNKED + b'3;a;b=c;d="e;\\"\xe4"\r\nabc\r\n0;f\r\n\r\n', {"body": b"abc"}),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nX: y\r\nAuthorization:\r\n\r\n", {"body": b"abc", "authorization": None}),
    "a chunk that looks like the end": (CHUNKED + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", {"body": b"0\r\n\r\n"}),
}


@pytest.mark.parametrize(("data", "wanted"), READ.values(), ids=READ)
def test_what_is_read(data: bytes, wanted: dict[str, Any]) -> None:
    for behind, more in ((b"", 0), (NEXT, 1), (b"\r\n" + NEXT, 1), (data, 1), (NEXT + data + NEXT, 3)):
        taken, status = heads.verify_requests(data + behind, [len(data)])
        assert status is None
        assert len(taken) == 1 + more
        head, body = taken[0]
        assert {name: body if name == "body" else head[name] for name in wanted} == wanted
        if behind == data:
            assert taken[1] == taken[0]
    for cut in range(len(data)):
        taken, status = heads.read(data + NEXT, True, [cut])
        assert (len(taken), status) == (2, None)


@pytest.mark.parametrize("data", heads.REAL)
def test_real_heads(data: bytes) -> None:
    body = b"0\r\n\r\n" if b"chunked" in data else b"0123456789ab" if b"-length: 12" in data.lower() else b""
    taken, status = heads.verify_requests(data + body + NEXT, [])
    assert status is None
    assert len(taken) == 2


# --- what is refused: why, the bytes, the status. Other readers find another end of the request in most of these.

REFUSED: list[tuple[str, bytes, int]] = [
    # Two ways to tell the length: RFC 9112 §6.1, §6.3
    ("CL.TE", POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400),
    ("TE.CL", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n", 400),
    ("TE and a CL of 0", POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE.TE: twice", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    ("TE.TE: another second", POST + b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n", 501),
    ("TE.TE: another first", POST + b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    ("TE: chunked not last", POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501),
    ("TE: chunked twice in a list", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501),
    ("TE: gzip", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("TE: identity", POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    ("TE: nearly chunked", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ("TE: quoted", POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    ("TE: with a parameter", POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 501),
    ("TE: empty", POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 501),
    ("TE: empty and CL", POST + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("TE: a vertical tab", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("TE: a NUL", POST + b"Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n", 400),
    ("TE: blank before the colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE: tab before the colon", POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE: folded", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE: behind a bare LF", POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE: behind a bare CR", POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE: behind a blank", POST + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("TE in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # Content-Length = 1*DIGIT, once: RFC 9110 §8.6, RFC 9112 §6.3 (equal ones may be taken; llhttp does not either)
    ("CL twice, equal", POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    ("CL twice, different", POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    ("CL list, equal", POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    ("CL list, different", POST + b"Content-Length: 3,4\r\n\r\nabcd", 400),
    ("CL +", POST + b"Content-Length: +3\r\n\r\nabc", 400),
    ("CL -", POST + b"Content-Length: -3\r\n\r\nabc", 400),
    ("CL -0", POST + b"Content-Length: -0\r\n\r\n", 400),
    ("CL hex", POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
    ("CL with a blank", POST + b"Content-Length: 1 2\r\n\r\n012345678901", 400),
    ("CL with an underscore", POST + b"Content-Length: 1_2\r\n\r\n012345678901", 400),
    ("CL with a fraction", POST + b"Content-Length: 3.0\r\n\r\nabc", 400),
    ("CL with an exponent", POST + b"Content-Length: 1e1\r\n\r\n0123456789", 400),
    ("CL empty", POST + b"Content-Length:\r\n\r\nabc", 400),
    ("CL in other digits", POST + "Content-Length: ３\r\n\r\nabc".encode(), 400),
    ("CL past 64 bits", POST + b"Content-Length: 18446744073709551619\r\n\r\nabc", 400),
    ("CL blank before the colon", POST + b"Content-Length : 3\r\n\r\nabc", 400),
    ("CL folded", POST + b"Content-Length: 1\r\n 2\r\n\r\n012345678901", 400),
    ("CL behind a bare LF", POST + b"X: y\nContent-Length: 3\r\n\r\nabc", 400),
    # Chunks: RFC 9112 §7.1
    ("chunk size +", CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size -", CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size 0x", CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size with an underscore", CHUNKED + b"0_3\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size empty", CHUNKED + b"\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size without digits", CHUNKED + b";a\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size of other letters", CHUNKED + b"g\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size: blank in front", CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size: blank behind", CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size: blank before the extension", CHUNKED + b"3 ;a\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size past 64 bits", CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size of 64 bits", CHUNKED + b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n", 413),
    ("chunk size ends in bare LF", CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
    ("chunk size ends in bare CR", CHUNKED + b"3\rabc\r\n0\r\n\r\n", 400),
    ("chunk size ends in CR CR LF", CHUNKED + b"3\r\r\nabc\r\n0\r\n\r\n", 400),
    ("extension with a bare LF", CHUNKED + b"3;a\nabc\r\n0\r\n\r\n", 400),
    ("extension with a bare CR", CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n", 400),
    ("extension with a NUL", CHUNKED + b"3;a=\x00\r\nabc\r\n0\r\n\r\n", 400),
    ("extension without a name", CHUNKED + b"3;\r\nabc\r\n0\r\n\r\n", 400),
    ("extension with an open quote", CHUNKED + b'3;a="b\r\nabc\r\n0\r\n\r\n', 400),
    ("chunk too long", CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
    ("chunk too short", CHUNKED + b"3\r\nab\r\n0\r\n\r\n", 400),
    ("chunk without an end", CHUNKED + b"3\r\nabc0\r\n\r\n", 400),
    ("chunk ends in bare LF", CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400),
    ("chunk ends in bare CR", CHUNKED + b"3\r\nabc\r0\r\n\r\n", 400),
    ("chunk ends in two other bytes", CHUNKED + b"3\r\nabcXX0\r\n\r\n", 400),
    ("last chunk -0", CHUNKED + b"-0\r\n\r\n", 400),
    ("last chunk and then no empty line", CHUNKED + b"0\r\nGET / HTTP/1.1\r\n\r\n", 400),
    ("trailer with a blank before the colon", CHUNKED + b"0\r\nX : y\r\n\r\n", 400),
    ("trailer with a bare LF", CHUNKED + b"0\r\nX: y\nZ: y\r\n\r\n", 400),
    ("trailer with a NUL", CHUNKED + b"0\r\nX: \x00\r\n\r\n", 400),
    ("trailer folded", CHUNKED + b"0\r\nX: y\r\n z\r\n\r\n", 400),
    ("trailer Content-Length", CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n", 400),  # RFC 9110 §6.5.1
    ("trailer Transfer-Encoding", CHUNKED + b"0\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    # Lines: RFC 9112 §2.2, §5.1, §5.2, RFC 9110 §5.5
    ("bare LF all over", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("bare LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("bare LF for the empty line", GET + b"\n", 400),
    ("bare LF in front", b"\n" + GET + b"\r\n", 400),
    ("bare CR in a value", GET + b"X: a\rb\r\n\r\n", 400),
    ("bare CR in a name", GET + b"X\rY: a\r\n\r\n", 400),
    ("CR CR LF", GET + b"X: a\r\r\n\r\n", 400),
    ("NUL in a value", GET + b"X: a\x00b\r\n\r\n", 400),
    ("NUL in a name", GET + b"X\x00: a\r\n\r\n", 400),
    ("a control in a value", GET + b"X: a\x01b\r\n\r\n", 400),
    ("DEL in a value", GET + b"X: a\x7f\r\n\r\n", 400),
    ("obs-fold", GET + b"X: a\r\n b\r\n\r\n", 400),
    ("obs-fold with a tab", GET + b"X: a\r\n\tb\r\n\r\n", 400),
    ("obs-fold of the request line", b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", 400),
    ("an empty folded line", GET + b"X: a\r\n \r\n\r\n", 400),
    ("blank before the colon", GET + b"X : a\r\n\r\n", 400),
    ("blank in a name", GET + b"X Y: a\r\n\r\n", 400),
    ("no name", GET + b": a\r\n\r\n", 400),
    ("no colon", GET + b"X\r\n\r\n", 400),
    ("a name that is no token", GET + b"X(y): a\r\n\r\n", 400),
    ("obs-text in a name", GET + b"X\xe4: a\r\n\r\n", 400),
    ("two empty lines in front", b"\r\n\r\n" + GET + b"\r\n", 400),
    # Host: RFC 9112 §3.2
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", GET + b"Host: a\r\n\r\n", 400),
    ("two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("Host with a user", b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    ("Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("Host with a blank", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("Host with a list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ("Host with a port that is none", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    ("Host with half an address", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    ("Host with obs-text", b"GET / HTTP/1.1\r\nHost: \xe4\r\n\r\n", 400),
    # Target: RFC 9112 §3.2, RFC 9110 §4.2
    ("absolute-form with another host", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("absolute-form with another port", b"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("absolute-form with the other scheme's port", b"GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", 400),
    ("absolute-form with a user", b"GET http://b@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("absolute-form without a host", b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("absolute-form of another scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("asterisk-form with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("authority-form with GET", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("obs-text in the target", b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    # Request line: RFC 9112 §3, RFC 9110 §2.5
    ("HTTP/0.9", b"GET /\r\n\r\n", 400),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("HTTP/3.0", b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    ("http/1.1", b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    ("HTTP/1", b"GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    ("no target", b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two blanks", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a tab", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a blank behind", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("a blank in front", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a blank in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a method that is no token", b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no method", b" / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400),
    ("garbage", bytes(range(256)), 400),
    ("JSON", b'{"jsonrpc":"2.0"}\r\n\r\n', 400),
    # Expect: RFC 9110 §10.1.1
    ("another expectation", POST + b"Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417),
    # The end comes too early: RFC 9112 §8
    ("half a head", GET, 400),
    ("half a body", POST + b"Content-Length: 4\r\n\r\nabc", 400),
    ("half a chunk", CHUNKED + b"4\r\nabc", 400),
    ("no last chunk", CHUNKED + b"3\r\nabc\r\n", 400),
    ("no end of the trailers", CHUNKED + b"0\r\nX: y\r\n", 400),
]


@pytest.mark.parametrize(("data", "status"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_what_is_refused(data: bytes, status: int) -> None:
    assert heads.verify_requests(data, [len(data) // 2]) == ([], status)
    taken, after = heads.verify_requests(NEXT + data, [len(NEXT)])
    assert (len(taken), after) == (1, status)
    for cut in range(len(data)):
        assert heads.read(data, True, [cut]) == ([], status)


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data, _ in REFUSED[:-5]])
def test_what_is_refused_needs_no_end_and_stays_refused(data: bytes) -> None:
    requests = Requests(4096, 4096, plain=True)
    requests.receive(data + b"\r\n" + NEXT)
    for _ in range(3):
        with pytest.raises(RequestRefused):  # noqa: PT012
            requests.head()
            requests.body()


def test_a_refusal_says_what_was_wrong_but_not_the_value() -> None:
    requests = Requests(4096, 4096, plain=True)
    requests.receive(GET + b"Authorization : Bearer secret\r\n\r\n")
    with pytest.raises(RequestRefused) as caught:
        requests.head()
    assert caught.value.reason == "field_line"
    assert "secret" not in f"{caught.value} {caught.value.data()}"


# --- limits


@pytest.mark.parametrize("plain", [True, False])
def test_the_largest_head_and_one_byte_more(plain: bool) -> None:
    data = GET + b"X: " + b"y" * 100 + b"\r\n\r\n"
    for cuts in ((), range(1, len(data))):
        assert heads.read(data, plain, cuts, max_head=len(data))[1] is None
        assert heads.read(data, plain, cuts, max_head=len(data) - 1) == ([], 431)
        assert heads.read(b"\r\n" + data, plain, cuts, max_head=len(data))[1] is None


@pytest.mark.parametrize("forbidden", [b"a\rb", b"a\nb", b"\x00", b"\x7f"])
def test_a_head_with_a_forbidden_byte_is_refused_for_that(forbidden: bytes) -> None:
    """However it is cut: what comes first in the bytes decides."""
    for data in (GET + b"X: " + forbidden + b"y" * 500, forbidden + b"y" * 500, b"\n" + GET + b"X: " + b"y" * 500):
        assert heads.verify_requests(data, [len(GET) + 5], max_head=300) == ([], 400)
        assert heads.verify_requests(b"y" * 300 + data, [300], max_head=300) == ([], 414)


def test_a_head_is_refused_before_its_end() -> None:
    for data, status in (
        (GET + b"X: " + b"y" * 4096, 431),
        (b"GET /" + b"y" * 4096, 414),
        (GET + b"X: y\r\n" * 999, 431),
    ):
        for size in (len(data), 1, 100):
            requests = Requests(4096, 4096, plain=True)
            with pytest.raises(RequestRefused) as caught:  # noqa: PT012
                for at in range(0, len(data), size):
                    requests.receive(data[at : at + size])
                    assert requests.head() is None
            assert (caught.value.status, caught.value.setting) == (status, "max_head")


@pytest.mark.parametrize("plain", [True, False])
def test_a_declared_body_that_is_too_large_is_refused_by_body_only(plain: bool) -> None:
    for length, size in ((4, 0), (4, 9), (10**17, 3)):
        requests = Requests(4096, 3, plain)
        requests.receive(POST + b"Content-Length: %d\r\n\r\n" % length + b"x" * size)
        head = requests.head()
        assert head is not None
        assert head.content_length == length
        with pytest.raises(RequestRefused) as caught:
            requests.body()
        assert (caught.value.status, caught.value.setting) == (413, "max_body")
    assert heads.read(POST + b"Content-Length: 3\r\n\r\nabc", plain, max_body=3)[1] is None


def test_a_chunked_body_is_refused_as_soon_as_it_says_too_much() -> None:
    assert heads.verify_requests(CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", [], max_body=3)[1] is None
    requests = Requests(4096, 3, plain=True)
    requests.receive(CHUNKED + b"2\r\nab\r\n2\r\n")
    assert requests.head() is not None
    with pytest.raises(RequestRefused) as caught:
        requests.body()
    assert (caught.value.status, caught.value.setting) == (413, "max_body")


@pytest.mark.parametrize(
    "data",
    [b"3;" + b"a" * 500, b"3;a\r\nabc\r\n" * 300, b"0\r\nX: " + b"y" * 500, b"0\r\n" + b"X: y\r\n" * 99, b"3" * 500],
)
def test_what_stands_beside_a_chunked_body_is_bounded(data: bytes) -> None:
    assert heads.verify_requests(CHUNKED + data, [], max_head=200)[1] in (431, 400)
    requests = Requests(200, 4096, plain=True)
    requests.receive(CHUNKED + data)
    assert requests.head() is not None
    with pytest.raises(RequestRefused):
        requests.body()


# --- what it holds, and when


def test_the_same_head_and_body_until_done() -> None:
    requests = Requests(4096, 4096, plain=True)
    assert requests.head() is None
    assert requests.body() is None
    requests.receive(POST + b"Content-Length: 3\r\n\r\nabc" + NEXT)
    head, body = requests.head(), requests.body()
    assert head is requests.head()
    assert body is requests.body()
    assert body == b"abc"
    requests.done()
    following = requests.head()
    assert following is not None
    assert following.path == b"/next"


def test_done_skips_a_body_that_nobody_read_but_never_loses_its_place() -> None:
    requests = Requests(4096, 4096, plain=True)
    requests.receive(POST + b"Content-Length: 3\r\n\r\nabc" + NEXT + CHUNKED + b"3\r\nab")
    assert requests.head() is not None
    requests.done()
    following = requests.head()
    assert following is not None
    assert following.path == b"/next"
    requests.done()
    assert requests.head() is not None
    with pytest.raises(RuntimeError):
        requests.done()


def test_begun_is_true_from_the_first_byte_of_a_head_to_its_last() -> None:
    requests = Requests(4096, 4096, plain=True)
    seen = [requests.begun]
    for piece in (POST[:1], POST[1:], b"Content-Length: 3\r\n\r\na", b"bc\r\n", b"", NEXT[:1], NEXT[1:]):
        requests.receive(piece)
        if requests.head() is not None and requests.body() is not None:
            requests.done()
        seen.append(requests.begun)
    assert seen == [False, True, True, False, False, False, True, False]


def test_waiting_counts_what_is_not_the_current_requests() -> None:
    requests = Requests(4096, 4096, plain=True)
    requests.receive(POST + b"Content-Length: 3\r\n\r\na")
    assert requests.waiting == 0
    requests.head()
    assert requests.waiting == 0
    requests.receive(b"bc12")
    assert requests.waiting == 2
    assert requests.body() == b"abc"
    assert requests.waiting == 2
    requests.receive(b"345")
    assert requests.waiting == 5
    requests.done()

    requests = Requests(4096, 4096, plain=True)
    requests.receive(POST + b"Content-Length: 5\r\n\r\na")
    requests.head()
    assert requests.body() is None
    requests.receive(b"bc")
    assert requests.waiting == 0
    requests.receive(b"de" + NEXT)
    assert requests.waiting == len(NEXT)
    assert requests.body() == b"abcde"
    requests.receive(NEXT)
    assert requests.waiting == 2 * len(NEXT)


def test_bytes_beyond_max_body_of_a_refused_body_are_counted_as_waiting() -> None:
    requests = Requests(4096, 10, plain=True)
    requests.receive(POST + b"Content-Length: 1000\r\n\r\n")
    requests.head()
    requests.receive(b"x" * 500)
    assert requests.waiting == 490


def test_the_end_of_the_bytes() -> None:
    requests = Requests(4096, 4096, plain=True)
    requests.receive(NEXT + b"\r\n")
    requests.at_eof()
    assert requests.head() is not None
    assert requests.body() == b""
    requests.done()
    assert requests.head() is None


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_head_is_looked_at_once_however_it_arrives(plain: bool, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        seen = 0

        def search(self, data: bytes, start: int, end: int) -> object:
            self.seen += end - start
            return None

    counting = Counting()
    monkeypatch.setattr(http11, "_FORBIDDEN", counting)
    data = GET + b"X: " + b"y" * 20_000 + b"\r\n\r\n"
    requests = Requests(1 << 16, 4096, plain)
    for at in range(0, len(data), size):
        assert requests.head() is None
        requests.receive(data[at : at + size])
    assert requests.head() is not None
    assert counting.seen <= 2 * len(data)


def test_a_large_body_in_pieces_is_joined_once() -> None:
    pieces = [bytes([number]) * 65536 for number in range(64)]
    requests = Requests(4096, 4 << 20, plain=True)
    requests.receive(POST + b"Content-Length: 4194304\r\n\r\n")
    requests.head()
    for piece in pieces:
        assert requests.body() is None
        requests.receive(piece)
    assert requests.body() == b"".join(pieces)
    assert requests.waiting == 0


def test_nothing_waits_for_the_cycle_collector() -> None:
    data = b"".join(data for data, _ in READ.values())
    gc.collect()
    gc.disable()
    try:
        requests = Requests(4096, 4096, plain=True)
        requests.receive(data + CHUNKED + b"3\r\na")
        while requests.head() is not None and requests.body() is not None:
            requests.done()
        del requests
        assert gc.collect() == 0
    finally:
        gc.enable()


# --- any bytes


@given(randoms)
def test_any_requests_read_the_same_in_every_way(rng: Random) -> None:
    data = heads.anything(rng)
    cuts = [rng.randrange(len(data) + 1) for _ in range(rng.randrange(4))]
    heads.verify_requests(data, cuts, max_head=rng.choice([64, 300, 4096]), max_body=rng.choice([5, 4096]))


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", GET, POST + b"Content-Length: 9\r\n\r\n", CHUNKED]),
    st.integers(0, 200),
)
def test_any_bytes_lead_to_requests_or_a_refusal(data: bytes, front: bytes, cut: int) -> None:
    data = front + data
    heads.verify_requests(data, [min(cut, len(data))], max_head=100)


@pytest.mark.parametrize("size", [100, 5_000, 200_000])
@pytest.mark.parametrize("plain", [True, False])
def test_nothing_is_kept_of_a_request_that_was_answered(plain: bool, size: int) -> None:
    data = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (size, b"x" * size)
    before = getrefcount(data)
    requests = Requests(4096, 1 << 20, plain)
    requests.receive(data)
    assert requests.head() is not None
    assert requests.body() is not None
    requests.done()
    few = size == 100 and plain  # its head is kept, with the little beside it, to know it again
    assert getrefcount(data) == before + few


def test_a_head_among_much_else_keeps_its_own_bytes_only() -> None:
    head = b"GET /%d HTTP/1.1\r\nHost: a\r\nX-A: %d\r\n\r\n"
    much = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n%b" % (b"x" * 9000)
    data = head % (1, 1) + much + head % (2, 2) + much
    before = getrefcount(data)
    requests = Requests(4096, 1 << 20, True)
    requests.receive(data)
    kept = []
    while (found := requests.head()) is not None:
        requests.body()
        kept.append(found)
        requests.done()
    assert [found.get(b"x-a") for found in kept] == [b"1", None, b"2", None]
    assert [found.fields[1:] for found in kept[::2]] == [[(b"x-a", b"1")], [(b"x-a", b"2")]]
    del requests
    assert getrefcount(data) == before


@pytest.mark.parametrize("plain", [True, False])
def test_only_a_large_head_counts_as_held(plain: bool) -> None:
    requests = Requests(20_000, 1000, plain)
    small = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: a\r\n\r\n"
    large = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: %b\r\n\r\n" % (b"a" * 10_000)
    for data, counted in ((small, 0), (large, len(large)), (small, 0)):
        requests.receive(data)
        head = requests.head()
        assert head is not None
        assert head.size == len(data)
        assert requests.held() == counted
        requests.done()
        assert requests.held() == 0
