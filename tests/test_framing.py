"""Everything in `fastsse._framing` but the head scanner: against its readable twins in `oracle`, and read back by
readers written elsewhere (httpx-sse, sseclient, h11, json).
"""

import inspect
import json
from asyncio import Future, new_event_loop
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from itertools import islice
from typing import Any

import h11
import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent
from hypothesis import example, given
from hypothesis import strategies as st
from sseclient import SSEClient

import oracle
from fastsse import _framing

# --- against the oracle

# Bytes in which everything that matters to framing is frequent.
PIECES = [b"\r\n", b"data: ", b"\xef\xbb\xbf", b"}}", *(bytes([byte]) for byte in b'\r\n\0: {},"-a7\xff')]
texts = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join) | st.binary(max_size=300)
labels = st.just(b"") | st.binary(max_size=40) | st.from_regex(rb"[a-z0-9/_-]{1,40}", fullmatch=True)
optional = st.none() | texts
retries = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-1, 0, 9, 10, 99, 100, 2**63 - 1])
frames = st.lists(texts, max_size=20)
uuids = st.uuids().map(lambda uuid: str(uuid).encode())
session_ids = (
    uuids
    | texts
    | uuids.map(bytes.upper)
    | st.builds(
        lambda uuid, at, byte: uuid[:at] + bytes([byte]) + uuid[at + 1 :],
        uuids,
        st.integers(0, 35),
        st.integers(0, 255),
    )
)
notifications = texts | st.builds(oracle.notification, texts, texts.map(lambda text: b"{" + text + b"}"))
nested = st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b'\\"', b"a"]), max_size=60).map(b"".join)

ARGUMENTS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "event": st.tuples(texts, labels, labels, retries) | st.tuples(texts),
    "comment": st.tuples(texts) | st.tuples(labels),
    "chunk": st.tuples(frames),
    "join": st.tuples(frames),
    "between": st.tuples(texts, texts, texts),
    "called": st.tuples(st.just(dict), st.just(()), st.dictionaries(st.text(), st.integers())),
    "seconds": st.tuples(st.floats(allow_nan=False).map(lambda shown: lambda: shown)),
    "result": st.tuples(texts, texts),
    "error": st.tuples(optional, texts),
    "notification": st.tuples(texts, optional) | st.tuples(texts),
    "request": st.tuples(texts, texts, optional) | st.tuples(texts, texts),
    "depth": st.tuples(nested),
    "tag": st.tuples(notifications, texts),
    "wrapped_result": st.tuples(texts, texts, texts | texts.map(lambda text: b"{" + text + b"}"), texts),
    "response": st.tuples(texts, texts),
    "result_response": st.tuples(texts, texts, texts),
    "result_event": st.tuples(texts, texts, labels, labels) | st.tuples(texts, texts, labels),
    "place": st.tuples(session_ids),
    "numbered": st.tuples(labels, st.integers(-2, 1 << 62), texts),
    "part": st.tuples(texts, st.integers(-2, 20), st.integers(-2, 20)),
    "text": st.tuples(texts | texts.map(bytearray)),
    "equal": st.tuples(texts, texts) | texts.map(lambda text: (text, text)),
}


def outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_compiled_function_agrees_with_its_twin(name: str) -> None:
    compiled, twin = getattr(_framing, name), getattr(oracle, name)

    @given(ARGUMENTS[name])
    def agree(arguments: tuple[Any, ...]) -> None:
        expected = outcome(twin, arguments)
        seen = outcome(compiled, arguments)
        assert seen == expected
        assert type(seen) is type(expected)

    agree()


@pytest.mark.parametrize("module", [_framing, oracle], ids=["compiled", "twin"])
def test_a_coroutine_begins_in_a_context_of_its_own(module: Any) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="outside")
    future: Future[None] = Future(loop=new_event_loop())

    async def once(value: Any) -> Any:
        variable.set("inside")
        return value

    async def waits() -> None:
        await future

    async def fails() -> None:
        raise LookupError(variable.get())

    variables = Context()
    module.enter(variables)
    with pytest.raises(RuntimeError, match="already entered"):
        module.enter(variables)
    assert module.first_step(once(7)) == 7
    assert module.first_step(once(None)) is None
    with pytest.raises(LookupError, match="inside"):
        module.first_step(fails())
    coroutine = waits()
    step = module.first_step(coroutine)
    assert step.coroutine is coroutine
    assert step.future is future
    module.leave(variables)
    assert variable.get() == "outside"
    assert variables[variable] == "inside"
    with pytest.raises(RuntimeError, match="context"):
        module.leave(variables)
    coroutine.close()
    future.get_loop().close()


def test_every_compiled_function_has_a_twin_with_the_same_signature() -> None:
    functions = [name for name, value in vars(_framing).items() if name[0] != "_" and inspect.isroutine(value)]
    assert set(ARGUMENTS) <= set(functions)
    for name in functions:
        twin = inspect.signature(getattr(oracle, name)).parameters.values()
        compiled = inspect.signature(getattr(_framing, name)).parameters.values()
        assert [(p.name, p.default) for p in compiled] == [(p.name, p.default) for p in twin], name
    assert _framing.LAST_CHUNK == oracle.LAST_CHUNK


@pytest.mark.parametrize("size", [*range(18), 99, 100, 255, 256, 999, 1000, 4095, 4096, 65535, 65536, 1_000_000])
def test_sizes_are_written_right_on_both_sides_of_every_digit(size: int) -> None:
    body = b"x" * size
    assert _framing.response(b"Content-Length: ", body) == oracle.response(b"Content-Length: ", body)
    assert _framing.chunk([body]) == oracle.chunk([body])
    assert _framing.result_response(b"", b"1", body) == oracle.result_response(b"", b"1", body)


def test_huge_data() -> None:
    one_line = bytes(64 << 20)
    assert _framing.event(one_line) == b"data: " + one_line + b"\n\n"
    many_lines = b"\r\n" * 1_000_000
    assert _framing.event(many_lines) == b"data: \n" * 1_000_001 + b"\n"
    only_returns = b"\r" * 1_000_000
    assert _framing.event(only_returns) == b"data: \n" * 1_000_001 + b"\n"


# --- what is refused


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\0"])
@pytest.mark.parametrize("place", ["{}rest", "be{}tween", "end{}", "{}"])
def test_what_breaks_a_line_is_refused_in_names_and_ids(byte: bytes, place: str) -> None:
    value = place.encode().replace(b"{}", byte)
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        _framing.event(b"data", value)
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        _framing.event(b"data", b"name", value)
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        _framing.result_event(b"1", b"{}", value)
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        _framing.result_event(b"1", b"{}", b"message", value)
    if byte != b"\0":
        with pytest.raises(ValueError, match="CR or LF"):
            _framing.comment(value)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (_framing.event, (b"",)),
        (_framing.event, (b"", b"name")),
        (_framing.event, (b"", b"name", b"id")),
        (_framing.comment, (b"",)),
        (_framing.result, (b"1", b"{}")),
        (_framing.notification, (b'"x"',)),
        (_framing.request, (b"1", b'"x"')),
        (_framing.tag, (b'{"params":{}}', b"{}")),
        (_framing.response, (b"", b"")),
        (_framing.result_response, (b"", b"1", b"{}")),
        (_framing.result_event, (b"1", b"{}", b"", b"")),
        (_framing.place, (b"",)),
        (_framing.equal, (b"", b"")),
    ],
)
@pytest.mark.parametrize("wrong", [None, "text", bytearray(b"bytes"), 1], ids=["None", "str", "bytearray", "int"])
def test_only_bytes_are_bytes(function: Callable[..., Any], arguments: tuple[bytes, ...], wrong: Any) -> None:
    for at in range(len(arguments)):
        with pytest.raises(TypeError):
            function(*arguments[:at], wrong, *arguments[at + 1 :])


@pytest.mark.parametrize("function", [_framing.chunk, _framing.join])
@pytest.mark.parametrize("wrong", [None, (b"a",), [None], [b"a", "b"], [bytearray(b"a")]], ids=repr)
def test_only_lists_of_bytes_are_frames(function: Callable[[Any], bytes], wrong: Any) -> None:
    with pytest.raises(TypeError):
        function(wrong)


def test_retry_is_an_int_of_64_bits() -> None:
    assert _framing.event(b"", retry=0) == b"retry: 0\ndata: \n\n"
    assert _framing.event(b"", retry=-5) == b"data: \n\n"
    with pytest.raises(OverflowError):
        _framing.event(b"", retry=2**63)


def test_an_empty_chunk_is_no_chunk() -> None:
    assert _framing.chunk([]) == _framing.chunk([b""]) == _framing.chunk([b"", b""]) == b""
    assert _framing.LAST_CHUNK == b"0\r\n\r\n"


@pytest.mark.parametrize("text", [b"", b"}", b"{}", b'{"params":[]}', b'{"method":"x"}', b'{"params":{}} '])
def test_only_what_ends_in_its_params_is_tagged(text: bytes) -> None:
    with pytest.raises(ValueError, match="params"):
        _framing.tag(text, b"{}")


# --- read back as event streams

# What a text may hold in UTF-8; names and ids never hold the three that are refused.
characters = st.characters(exclude_categories=["Cs"])
plain_characters = st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0")
lines = st.text(plain_characters, max_size=30)

Event = tuple[str, str, str, int]  # data, name, id, retry
events = st.lists(
    st.tuples(
        st.lists(st.text(characters, max_size=30) | lines, max_size=4).map("\n".join),
        st.just("") | lines,
        st.just("") | lines,
        st.just(-1) | st.integers(0, 10_000_000),
    ),
    min_size=1,
    max_size=5,
)


def stream(events: list[Event], noise: str = "") -> bytes:
    written = [_framing.event(data.encode(), name.encode(), id.encode(), retry) for data, name, id, retry in events]
    return b"".join(_framing.comment(noise.encode()) + one for one in written) if noise else b"".join(written)


def read_by_httpx_sse(body: bytes) -> list[ServerSentEvent]:
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body)
    return list(EventSource(response).iter_sse())


@given(events)
@example([("", "", "7", -1)])  # the priming event
def test_httpx_sse_reads_what_was_written(events: list[Event]) -> None:
    last_id, expected = "", []
    for data, name, id, retry in events:
        last_id = id or last_id
        text = data.replace("\r\n", "\n").replace("\r", "\n")
        expected.append((text, name or "message", last_id, retry if retry >= 0 else None))
    assert [(e.data, e.event, e.id, e.retry) for e in read_by_httpx_sse(stream(events))] == expected


@given(events, lines.filter(bool))
def test_httpx_sse_skips_comments(events: list[Event], noise: str) -> None:
    # After an id, this reader also reports the empty line behind a comment, as an event without data.
    seen = [e.data for e in read_by_httpx_sse(stream(events, noise)) if e.data]
    assert seen == [e.data for e in read_by_httpx_sse(stream(events)) if e.data]


class Canned:
    """What `sseclient` asks of requests: a session whose only response is a stream that was written before."""

    encoding = "utf-8"

    def __init__(self, body: bytes) -> None:
        self.raw = self
        self._pieces = iter([body[at : at + 7] for at in range(0, len(body), 7)])

    def get(self, url: str, **options: object) -> "Canned":
        return self

    def raise_for_status(self) -> None: ...

    def read(self, size: int) -> bytes:
        return next(self._pieces)


def read_by_sseclient(body: bytes) -> Iterator[Any]:
    return iter(SSEClient("http://localhost/", session=Canned(body)))


# This reader breaks lines wherever str.splitlines does and loses empty first lines.
sober = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=30)
sober_events = st.lists(
    st.tuples(st.lists(sober, min_size=1, max_size=4).map("\n".join), sober, sober, st.integers(1, 10_000_000)),
    min_size=1,
    max_size=5,
)


@given(sober_events)
def test_sseclient_reads_what_was_written(events: list[Event]) -> None:
    seen = islice(read_by_sseclient(stream(events)), len(events))
    assert [(e.data, e.event, e.id, e.retry) for e in seen] == events


@given(sober_events, sober)
def test_sseclient_skips_comments(events: list[Event], noise: str) -> None:
    # This reader reports every block, so comments come as events without data.
    seen = islice(read_by_sseclient(stream(events, noise)), 2 * len(events))
    assert [e.data for e in seen if e.data] == [data for data, *_ in events]


# --- read back as HTTP and as JSON

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=3)
ids = st.integers() | st.text()


def encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@given(ids, json_values)
def test_json_reads_answers(id: int | str, value: object) -> None:
    assert json.loads(_framing.result(encode(id), encode(value))) == {"jsonrpc": "2.0", "id": id, "result": value}
    assert json.loads(_framing.error(encode(id), encode(value))) == {"jsonrpc": "2.0", "id": id, "error": value}
    assert json.loads(_framing.error(None, encode(value))) == {"jsonrpc": "2.0", "error": value}


@given(ids, st.text(), json_objects)
def test_json_reads_requests_and_notifications(id: int | str, method: str, params: dict[str, object]) -> None:
    base: dict[str, object] = {"jsonrpc": "2.0", "method": method}
    assert json.loads(_framing.notification(encode(method))) == base
    assert json.loads(_framing.notification(encode(method), encode(params))) == base | {"params": params}
    base["id"] = id
    assert json.loads(_framing.request(encode(id), encode(method))) == base
    assert json.loads(_framing.request(encode(id), encode(method), encode(params))) == base | {"params": params}


@given(st.text(), json_objects, json_objects, st.sampled_from([b"", b" ", b"\n", b"\t\r\n "]))
def test_json_reads_the_tag(method: str, params: dict[str, object], meta: dict[str, object], blank: bytes) -> None:
    params.pop("_meta", None)
    notification = _framing.notification(encode(method), encode(params)[:-1] + blank + b"}")
    seen = json.loads(_framing.tag(notification, encode(meta)))
    assert seen == {"jsonrpc": "2.0", "method": method, "params": params | {"_meta": meta}}


def read_by_h11(wire: bytes) -> tuple[bytes, bool]:
    """The body of the response and whether it ended."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "localhost")]))
    client.send(h11.EndOfMessage())
    client.receive_data(wire)
    body = b""
    while (step := client.next_event()) is not h11.NEED_DATA:
        if isinstance(step, h11.Data):
            body += step.data
        elif isinstance(step, h11.EndOfMessage):
            return body, True
    return body, False


@given(st.lists(frames, max_size=5))
def test_h11_reads_chunks(writes: list[list[bytes]]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(_framing.chunk(write) for write in writes)
    body = b"".join(_framing.join(write) for write in writes)
    assert read_by_h11(head + chunks) == (body, False)
    assert read_by_h11(head + chunks + _framing.LAST_CHUNK) == (body, True)


@given(texts, ids, json_values)
def test_h11_reads_responses(body: bytes, id: int | str, value: object) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: "
    assert read_by_h11(_framing.response(head, body)) == (body, True)
    seen, ended = read_by_h11(_framing.result_response(head, encode(id), encode(value)))
    assert ended
    assert json.loads(seen) == {"jsonrpc": "2.0", "id": id, "result": value}


# --- session ids


def test_place_is_the_first_32_bits() -> None:
    assert _framing.place(b"00000000-0000-4000-8000-000000000000") == 0
    assert _framing.place(b"ffffffff-0000-4000-8000-000000000000") == 2**32 - 1
    assert _framing.place(b"0123abcd-0000-4000-8000-000000000000") == 0x0123ABCD


@pytest.mark.parametrize(
    "other", [b"", b"0123abc", b"0123ABCD-", b"0123abc--0000", b"-0123abc-", b"0123ab\n\xff", b"g" * 36]
)
def test_place_refuses_what_is_no_session_id(other: bytes) -> None:
    assert _framing.place(other) == -1
