"""Response heads, read back by h11."""

import h11
import pytest

from fastsse.responses import EVENTS, JSON, REASONS, Heads

DATE = b"Sat, 21 Nov 2026 04:00:00 GMT"


def read(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """(status, fields, body) as an HTTP client understands them."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    return response.status_code, {name.decode(): value.decode() for name, value in response.headers}, body


def heads() -> Heads:
    made = Heads()
    made.date(DATE)
    return made


@pytest.mark.parametrize("status", REASONS)
def test_a_head_lacks_only_its_length(status: int) -> None:
    raw = heads().of(status, JSON, b"X-More: 1\r\n", 0)
    assert raw.endswith(b"\r\nContent-Length: ")
    if status >= 200 and status not in (204, 304):
        assert read(raw + b"2\r\n\r\n{}") == (
            status,
            {"date": DATE.decode(), "content-type": "application/json", "x-more": "1", "content-length": "2"},
            b"{}",
        )


def test_an_empty_answer_has_no_content_type() -> None:
    status, fields, _ = read(heads().of(202, b"", b"", 0) + b"0\r\n\r\n")
    assert (status, "content-type" in fields) == (202, False)


@pytest.mark.parametrize(("persistence", "connection"), [(0, None), (1, "close"), (2, "keep-alive")])
def test_what_becomes_of_the_connection(persistence: int, connection: str | None) -> None:
    for type in (JSON, b"text/plain"):
        _, fields, _ = read(heads().of(200, type, b"", persistence) + b"0\r\n\r\n")
        assert fields.get("connection") == connection


@pytest.mark.requirement("T-19", "D-sse-headers")
@pytest.mark.parametrize(("chunked", "connection"), [(True, "keep-alive"), (False, "close")])
def test_an_event_stream(chunked: bool, connection: str) -> None:
    raw = heads().stream(b"X-More: 1\r\n", chunked)
    status, fields, _ = read(raw)
    assert status == 200
    assert fields == {
        "date": DATE.decode(),
        "content-type": "text/event-stream",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "connection": connection,
        "x-more": "1",
        **({"transfer-encoding": "chunked"} if chunked else {}),
    }


@pytest.mark.requirement("D-sse-headers")
def test_a_single_event_is_not_kept_back_either() -> None:
    _, fields, _ = read(heads().of(200, EVENTS, b"", 0) + b"0\r\n\r\n")
    assert (fields["x-accel-buffering"], fields["cache-control"]) == ("no", "no-cache, no-transform")


def test_heads_are_rendered_once_a_second() -> None:
    made = heads()
    first = made.of(404, JSON, b"", 0)
    assert made.of(404, JSON, b"", 0) is first
    assert made.of(200, JSON, b"", 0) is made.of(200, JSON, b"", 0)
    made.date(b"Sat, 21 Nov 2026 04:00:01 GMT")
    assert b"04:00:01" in made.of(404, JSON, b"", 0)
    assert b"04:00:01" in made.of(200, JSON, b"", 0)


def test_before_it_knows_the_time_a_head_is_well_formed_too() -> None:
    assert read(Heads().of(200, JSON, b"", 0) + b"0\r\n\r\n")[0] == 200


def test_what_is_kept_is_bounded() -> None:
    made = heads()
    for number in range(1000):
        made.of(200, JSON, b"X-N: %d\r\n" % number, 0)
    assert len(made._kept) <= 128
