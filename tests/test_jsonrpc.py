"""One JSON-RPC 2.0 message or a clear refusal, whatever the bytes; ids go back to the letter."""

import json
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from fakes import message
from fastsse import jsonrpc
from fastsse._framing import Message, scan_call
from fastsse.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, McpError, RequestRefused
from fastsse.jsonrpc import Raw

REMOTE = (PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def read(body: bytes) -> int | None:
    """The code with which a body is refused, None when all of it can be read."""
    try:
        found = jsonrpc.decode(body)
        if found.wrong is not None:
            raise found.wrong
        jsonrpc.object_of(found.params)
    except McpError as refused:
        return refused.code
    except RequestRefused:  # it looks as if it were compressed
        return PARSE_ERROR
    return None


def code(body: bytes) -> int:
    with pytest.raises(McpError) as refused:
        jsonrpc.decode(body)
    return refused.value.code


def test_the_three_kinds_of_message() -> None:
    request = jsonrpc.decode(message("tools/call", {"name": "x"}, 7))
    assert (request.method, request.id, request.result) == ("tools/call", b"7", None)
    assert jsonrpc.decode(message("notifications/x", id=None)).id is None
    response = jsonrpc.decode(message(id=7, result={"a": 1}))
    assert (response.method, response.id, response.result) == (None, b"7", b'{"a": 1}')


@pytest.mark.requirement("T-17")
def test_unknown_members_are_tolerated() -> None:
    body = message("tools/call", {"name": "x", "more": [1], "_meta": {"vendor/key": {}}}, more={"a": 1})
    assert jsonrpc.decode(body).name == "x"


@pytest.mark.requirement("T-13")
@pytest.mark.parametrize(
    "body", [b"", b"{", b"hello", b"{'a': 1}", b'{"jsonrpc":"2.0"} {}', b"\xff\xfe", b'{"a":01}', b"\xef\xbb\xbf{}"]
)
def test_what_is_no_json_is_a_parse_error(body: bytes) -> None:
    assert code(body) == PARSE_ERROR


@pytest.mark.requirement("T-14")
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"foo":1}',
        b"null",
        b"1",
        b'"x"',
        b"[]",
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"jsonrpc":2.0,"id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":5}',
        b'{"id":1,"method":"ping"}',
    ],
)
def test_what_is_no_message_is_an_invalid_request(body: bytes) -> None:
    assert code(body) == INVALID_REQUEST


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_deep_nesting_is_refused_or_read_but_never_more(depth: int) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + b"[" * depth + b"]" * depth + b"}}"
    assert read(body) in (None, *REMOTE)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_message_or_the_peers_fault(body: bytes) -> None:
    assert read(body) in (None, *REMOTE)


# --- ids


@pytest.mark.requirement("T-15")
@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1", "1"),
        ("0", "0"),
        ("-5", "-5"),
        ("9007199254740993", "9007199254740993"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ('"1"', '"1"'),
        ('""', '""'),
        ('"é"', '"é"'),
        ('"a b/c"', '"a b/c"'),
        (r'"\u00e9"', '"é"'),
        (r'"a\/b"', '"a/b"'),
        (r'"\n"', r'"\n"'),
    ],
)
def test_an_id_is_kept_to_the_letter(written: str, kept: str) -> None:
    body = f'{{"jsonrpc": "2.0", "id" :  {written} , "method": "ping"}}'.encode()
    id = jsonrpc.decode(body).id
    assert id is not None
    assert id == kept.encode()
    assert json.loads(id) == json.loads(written)


@given(st.text())
def test_equal_ids_are_equal_bytes(text: str) -> None:
    ids = {jsonrpc.read_id(Raw(json.dumps(text, ensure_ascii=ascii).encode())) for ascii in (True, False)}
    assert ids == {jsonrpc.encode(text)}


@pytest.mark.requirement("T-16")
@pytest.mark.parametrize("written", ["null", "true", "false", "1.5", "1.0", "3100.0", "1e3", "1E3", "[1]", '{"a":1}'])
def test_an_id_of_another_json_type_is_refused(written: str) -> None:
    with pytest.raises(McpError) as refused:
        jsonrpc.read_id(Raw(written.encode()))
    assert refused.value.code == INVALID_REQUEST


@pytest.mark.parametrize("written", [b'"\xff"', rb'"\ud800"'])
def test_an_id_that_is_no_text_is_the_peers_fault(written: bytes) -> None:
    with pytest.raises(McpError) as refused:
        jsonrpc.read_id(Raw(written))
    assert refused.value.code in (PARSE_ERROR, INVALID_REQUEST)


# --- params


def test_params_are_read_as_far_as_the_house_needs_them() -> None:
    meta = {
        "progressToken": 7,
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"roots": {}},
        "io.modelcontextprotocol/logLevel": "debug",
    }
    found = jsonrpc.decode(message("tools/call", {"name": "n", "arguments": {"a": 1}, "_meta": meta}))
    assert (found.name, found.uri, found.cursor) == ("n", None, None)
    assert json.loads(found.arguments) == {"a": 1}
    assert found.meta.version == b"2026-07-28"
    assert found.meta.capabilities == {"roots": {}}
    assert found.meta.progress_token == b"7"
    assert found.params is not None
    assert json.loads(found.params) == {"name": "n", "arguments": {"a": 1}, "_meta": meta}


def with_params(params: bytes) -> Message:
    return jsonrpc.decode(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%b}' % params)


@pytest.mark.parametrize(
    "params",
    [b"[]", b"5", b'{"name":5}', b'{"uri":null}', b'{"_meta":5}', b'{"cursor":1}', b'{"_meta":{"traceparent":1}}'],
)
def test_params_of_the_wrong_type_are_invalid(params: bytes) -> None:
    wrong = with_params(params).wrong
    assert isinstance(wrong, McpError)
    assert wrong.code == INVALID_PARAMS


def test_without_params_there_is_nothing() -> None:
    found = jsonrpc.decode(message("tools/call"))
    assert (found.params, found.name, found.arguments, found.meta, found.wrong) == (None, None, b"", None, None)
    assert with_params(b'{"arguments":null}').arguments == b""
    assert with_params(b"{}").meta is with_params(b"[]").meta is None


def test_the_envelope_is_found_in_params_that_are_wrong_otherwise() -> None:
    found = with_params(b'{"name":5,"_meta":{"progressToken":"t"}}')
    assert found.wrong is not None
    assert found.meta.progress_token == b'"t"'


@pytest.mark.requirement("F-17")
@pytest.mark.parametrize(
    ("written", "token"),
    [("0", b"0"), ('""', b'""'), ('"a"', b'"a"'), ("1.5", b"1.5"), ("null", None), ("{}", None), ("true", None)],
)
def test_a_progress_token_keeps_its_type(written: str, token: bytes | None) -> None:
    assert with_params(b'{"name":"x","_meta":{"progressToken":%b}}' % written.encode()).meta.progress_token == token


# --- the plain call, which `scan_call` reads

PLAIN = [
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"a"}}}',
    b'{"jsonrpc": "2.0", "id": "a-1", "method": "tools/call", "params": {"name": "e", "arguments": {"a": [-2.5e3]}}}',
    b'{"method":"tools/call","params":{"name":"echo","arguments":{},"_meta":{"progressToken":3}},"jsonrpc":"2.0","id":0}',
    b' { "params" : { "_meta" : { "a" : { } } , "name" : "x" } , "method":"tools/call",\n"id":-5,"jsonrpc":"2.0"}\r\n',
    rb'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"e","arguments":{"t":"a\n\u00e9\"\\","u":[[],{},null]}}}',
]


PIECES = [*rb"""" { } [ ] , : \ 0 1.5 e null - \ud83d \u0000 \u00e9""".split(), b" ", b"\0", b"\xc3\xa9", b"\xff"]


def verify_call(body: bytes) -> bool:
    """Whether `scan_call` takes the body, as its twin does; if so, msgspec must read the same in all fields."""
    found, readable = scan_call(body), oracle.scan_call(body)
    assert (found is None) == (readable is None)
    if found is None:
        return False
    assert {name: getattr(found, name) for name in vars(readable)} == vars(readable)
    twin = jsonrpc.careful(body)
    assert (found.id, found.method, found.params) == (twin.id, twin.method, twin.params)
    assert (found.result, found.error) == (twin.result, twin.error) == (None, None)
    if twin.wrong is not None:  # only what `_meta` holds is not looked at yet
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(found.meta, type=jsonrpc._Meta)
        return True
    assert (found.name, found.arguments, found.uri, found.cursor) == (twin.name, twin.arguments, None, None)
    assert (found.input_responses, found.request_state) == (twin.input_responses, twin.request_state) == (None, None)
    assert (found.meta is None) == (twin.meta is None)
    return True


@pytest.mark.parametrize("body", PLAIN)
def test_a_plain_call_is_scanned(body: bytes) -> None:
    assert verify_call(body)
    for cut in range(len(body.rstrip())):
        assert not verify_call(body[:cut])


@given(st.randoms(use_true_random=False), st.sampled_from(PLAIN))
def test_what_is_scanned_agrees_with_msgspec(rng: Random, body: bytes) -> None:
    changed = bytearray(body)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(changed))
        piece = rng.choice(PIECES)
        changed[at : at + rng.randrange(3)] = piece
    verify_call(bytes(changed))


@given(json_values, json_values, st.booleans())
def test_any_arguments_and_meta_agree(arguments: Any, meta: Any, ascii: bool) -> None:
    call: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    call["params"] = {"name": "x", "arguments": arguments, "_meta": meta}
    verify_call(json.dumps(call, ensure_ascii=ascii).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","name":"y"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","requestState":"y"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"},"more":1}',
        b'{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"x"}}',
        b'{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"x"}}',
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"name":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":'
        + b'{"a":' * 65
        + b"1"
        + b"}" * 65
        + b"}}",
    ],
)
def test_what_is_unusual_is_left_to_msgspec(body: bytes) -> None:
    assert scan_call(body) is None


def test_params_that_were_scanned_are_cut_out_on_demand() -> None:
    found = jsonrpc.decode(PLAIN[0])
    assert found.params == b'{"name":"echo","arguments":{"text":"a"}}'
    assert found.params is found.params


def test_a_message_is_made_by_its_makers() -> None:
    with pytest.raises(TypeError):
        Message()


def test_meta_that_is_said_again_is_not_read_again() -> None:
    body = PLAIN[0].replace(b'"arguments"', b'"_meta":{"tracestate":"a=1"},"arguments"')
    assert jsonrpc.decode(body).meta is jsonrpc.decode(body).meta
    assert jsonrpc.decode(body).meta.tracestate == "a=1"


def test_meta_that_will_not_be_said_again_is_not_kept() -> None:
    body = PLAIN[0].replace(b'"arguments"', b'"_meta":{"traceparent":"00-1","baggage":"a=1"},"arguments"')
    assert jsonrpc.decode(body).meta is not jsonrpc.decode(body).meta
    assert (jsonrpc.decode(body).meta.traceparent, jsonrpc.decode(body).meta.baggage) == ("00-1", "a=1")


# --- the rest


@pytest.mark.parametrize(("raw", "found"), [(None, {}), (b"null", {}), (b'{"a":1}', {"a": 1})])
def test_an_object_or_nothing(raw: Any, found: dict[str, Any]) -> None:
    assert jsonrpc.object_of(raw) == found


@pytest.mark.parametrize("raw", [b"[]", b"5", b'"x"', b"true", b"{"])
def test_anything_else_is_no_object(raw: bytes) -> None:
    with pytest.raises(McpError) as refused:
        jsonrpc.object_of(raw)
    assert refused.value.code == INVALID_PARAMS


def test_an_error_without_data_has_no_data() -> None:
    assert json.loads(jsonrpc.error_object(-1, "no")) == {"code": -1, "message": "no"}
    assert json.loads(jsonrpc.error_object(-1, "no", {})) == {"code": -1, "message": "no", "data": {}}


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_equal_values_are_equal_bytes(value: dict[str, Any]) -> None:
    other = dict(reversed(value.items()))
    assert jsonrpc.canonical(json.dumps(value).encode()) == jsonrpc.canonical(json.dumps(other, indent=1).encode())
    assert jsonrpc.canonical(b"") == b""


def test_only_small_meta_is_kept_decoded() -> None:
    for size, kept in ((10, True), (5000, False)):
        padding = "p" * size
        params = {"name": "x", "arguments": {}, "_meta": {"io.modelcontextprotocol/clientCapabilities": {"x": padding}}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        first, second = jsonrpc.decode(body).meta, jsonrpc.decode(body).meta
        assert (first is second) == kept
        assert first.capabilities == second.capabilities == {"x": padding}
