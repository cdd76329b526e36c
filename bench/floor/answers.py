"""The constant bytes that the floor servers write: what a real answer to the benchmark call looks like, prepared once.

Used by the uvloop floors; the C and Node floors get the same bytes as arguments. Sizes are those of a real answer, so
that a ratio to a floor compares equal traffic.
"""

BODY = (
    b'{"jsonrpc":"2.0","id":100000000,"result":{"content":[{"type":"text","text":"hello world"}],'
    b'"structuredContent":{"result":"hello world"},"isError":false}}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\nContent-Length: 8\r\n\r\nAccepted"
MARKER = "bench-fan-out"
_NOTIFICATION = (
    '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","logger":"bench","data":"'
    + MARKER.ljust(97, ".")
    + '"}}'
)


def chunk(payload: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def event(data: str, name: str = "message") -> bytes:
    """One event of an event stream, as one chunk."""
    return chunk(f"event: {name}\ndata: {data}\n\n".encode())


EVENT = event(_NOTIFICATION)  # 200 bytes of data
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n"
    b"Connection: keep-alive\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
)
