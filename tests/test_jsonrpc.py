"""One JSON-RPC 2.0 message or a clear refusal, whatever the bytes; ids go back to the letter."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import message
from fastsse import jsonrpc
from fastsse.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, McpError
from fastsse.jsonrpc import UNSET, Raw

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
        jsonrpc.read_id(found.id)
        jsonrpc.decode_params(found.params)
        jsonrpc.object_of(found.params)
    except McpError as refused:
        return refused.code
    return None


def code(body: bytes) -> int:
    with pytest.raises(McpError) as refused:
        jsonrpc.decode(body)
    return refused.value.code


def test_the_three_kinds_of_message() -> None:
    request = jsonrpc.decode(message("tools/call", {"name": "x"}, 7))
    assert (request.method, bytes(request.id), request.result) == ("tools/call", b"7", UNSET)  # type: ignore[arg-type]
    assert jsonrpc.decode(message("notifications/x", id=None)).id is UNSET
    response = jsonrpc.decode(message(id=7, result={"a": 1}))
    assert (response.method, bytes(response.result)) == (UNSET, b'{"a": 1}')  # type: ignore[arg-type]


@pytest.mark.requirement("T-17")
def test_unknown_members_are_tolerated() -> None:
    body = message("tools/call", {"name": "x", "more": [1], "_meta": {"vendor/key": {}}}, more={"a": 1})
    assert jsonrpc.decode_params(jsonrpc.decode(body).params).name == "x"


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
    id = jsonrpc.read_id(jsonrpc.decode(body).id)
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
    found = jsonrpc.decode_params(Raw(json.dumps({"name": "n", "arguments": {"a": 1}, "_meta": meta}).encode()))
    assert (found.name, found.uri, found.cursor) == ("n", UNSET, UNSET)
    assert jsonrpc.value(jsonrpc.arguments_of(found)) == {"a": 1}
    assert found.meta is not UNSET
    assert found.meta.version == "2026-07-28"
    assert jsonrpc.object_of(found.meta.capabilities) == {"roots": {}}
    assert jsonrpc.read_token(found.meta.progress_token) == b"7"


@pytest.mark.parametrize("params", [b"[]", b"5", b'{"name":5}', b'{"uri":null}', b'{"_meta":5}', b'{"cursor":1}'])
def test_params_of_the_wrong_type_are_invalid(params: bytes) -> None:
    with pytest.raises(McpError) as refused:
        jsonrpc.decode_params(Raw(params))
    assert refused.value.code == INVALID_PARAMS


def test_without_params_there_is_nothing() -> None:
    assert jsonrpc.decode_params(UNSET) is jsonrpc.NO_PARAMS
    assert jsonrpc.arguments_of(jsonrpc.NO_PARAMS) == b""
    assert jsonrpc.arguments_of(jsonrpc.decode_params(Raw(b'{"arguments":null}'))) == b""
    assert jsonrpc.meta_of(UNSET) is jsonrpc.meta_of(Raw(b"{}")) is jsonrpc.meta_of(Raw(b"[]")) is None


def test_the_envelope_is_found_in_params_that_are_wrong_otherwise() -> None:
    meta = jsonrpc.meta_of(Raw(b'{"name":5,"_meta":{"progressToken":"t"}}'))
    assert meta is not None
    assert jsonrpc.read_token(meta.progress_token) == b'"t"'


@pytest.mark.requirement("F-17")
@pytest.mark.parametrize(
    ("written", "token"),
    [("0", b"0"), ('""', b'""'), ('"a"', b'"a"'), ("1.5", b"1.5"), ("null", None), ("{}", None), ("true", None)],
)
def test_a_progress_token_keeps_its_type(written: str, token: bytes | None) -> None:
    assert jsonrpc.read_token(Raw(written.encode())) == token


# --- the rest


@pytest.mark.parametrize(("raw", "found"), [(UNSET, {}), (Raw(b"null"), {}), (Raw(b'{"a":1}'), {"a": 1})])
def test_an_object_or_nothing(raw: Any, found: dict[str, Any]) -> None:
    assert jsonrpc.object_of(raw) == found


@pytest.mark.parametrize("raw", [b"[]", b"5", b'"x"', b"true", b"{"])
def test_anything_else_is_no_object(raw: bytes) -> None:
    with pytest.raises(McpError) as refused:
        jsonrpc.object_of(Raw(raw))
    assert refused.value.code == INVALID_PARAMS


def test_an_error_without_data_has_no_data() -> None:
    assert json.loads(jsonrpc.error_object(-1, "no")) == {"code": -1, "message": "no"}
    assert json.loads(jsonrpc.error_object(-1, "no", {})) == {"code": -1, "message": "no", "data": {}}


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_equal_values_are_equal_bytes(value: dict[str, Any]) -> None:
    other = dict(reversed(value.items()))
    assert jsonrpc.canonical(json.dumps(value).encode()) == jsonrpc.canonical(json.dumps(other, indent=1).encode())
    assert jsonrpc.canonical(b"") == b""
