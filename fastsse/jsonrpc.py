"""JSON-RPC messages; `params` stays raw until the handler is known.

The only room that reads the JSON of the wire (a tool's own arguments are read in `schema`). Called by the
eras on floor 3. Refuses what is not one JSON-RPC 2.0 message (JSON-RPC 2.0 §4, MCP basic/messages): ids are
strings or integers, kept as the JSON text they came in, so that they are echoed to the letter.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from fastsse import _framing, errors
from fastsse._framing import Message

__all__ = [
    "ENVELOPE", "UNSET", "Meta", "Raw", "canonical", "careful", "decode", "decode_array", "encode",
    "error_object", "object_of", "read_id", "value",
]  # fmt: skip

ENVELOPE = "io.modelcontextprotocol/"


class Meta:
    """`params._meta`: what a request says about itself; the envelope of 2026-07-28 lives here.

    `progress_token`: JSON text. `log_level`: any JSON value, UNSET when absent. Requests that say the same share one.
    """

    __slots__ = ("baggage", "capabilities", "log_level", "progress_token", "traceparent", "tracestate", "version")

    def __init__(
        self,
        progress_token: bytes | None = None,
        version: bytes | None = None,
        capabilities: dict[str, Any] | None = None,
        log_level: Any = UNSET,
        traceparent: str | None = None,
        tracestate: str | None = None,
        baggage: str | None = None,
    ) -> None:
        self.progress_token = progress_token
        self.version = version
        self.capabilities = capabilities
        self.log_level = log_level
        self.traceparent = traceparent
        self.tracestate = tracestate
        self.baggage = baggage


class _Message(msgspec.Struct, gc=False):
    """One request, notification or response; members that are absent are UNSET."""

    jsonrpc: Literal["2.0"]
    id: Raw | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Meta(msgspec.Struct, gc=False):
    progress_token: Raw | UnsetType = msgspec.field(default=UNSET, name="progressToken")
    version: str | UnsetType = msgspec.field(default=UNSET, name=ENVELOPE + "protocolVersion")
    capabilities: dict[str, Any] | UnsetType | None = msgspec.field(default=UNSET, name=ENVELOPE + "clientCapabilities")
    log_level: Any = msgspec.field(default=UNSET, name=ENVELOPE + "logLevel")
    traceparent: str | UnsetType = UNSET
    tracestate: str | UnsetType = UNSET
    baggage: str | UnsetType = UNSET


class _Params(msgspec.Struct, gc=False):
    """What the house itself reads of any params: the name of what is asked for, arguments, `_meta`."""

    name: str | UnsetType = UNSET
    uri: str | UnsetType = UNSET
    arguments: Raw = Raw()
    cursor: str | None = None
    meta: _Meta | UnsetType = msgspec.field(default=UNSET, name="_meta")
    input_responses: Raw = msgspec.field(default=Raw(), name="inputResponses")
    request_state: str | UnsetType = msgspec.field(default=UNSET, name="requestState")


class _OnlyMeta(msgspec.Struct, gc=False):
    meta: _Meta | UnsetType = msgspec.field(default=UNSET, name="_meta")


UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
PACKED = {b"\x1f\x8b": "gzip", b"x\x01": "zlib", b"x^": "zlib", b"x\x9c": "zlib", b"x\xda": "zlib", b"(\xb5": "zstd"}
"""How compressed data begin, by what compressed them; brotli has no such mark."""
KEPT, LARGEST = 256, 4096
"""`_meta` objects that are kept decoded, and their bytes; at 2026-07-28 every request of a client says the same."""

_message = msgspec.json.Decoder(_Message).decode
_messages = msgspec.json.Decoder(list[Raw])
_params = msgspec.json.Decoder(_Params).decode
_meta = msgspec.json.Decoder(_Meta).decode
_only_meta = msgspec.json.Decoder(_OnlyMeta).decode
_anything = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
encode = _encoder.encode
_metas: dict[bytes, Meta] = {}


def _as_meta(said: _Meta) -> Meta:
    token = None if said.progress_token is UNSET else _framing.text(said.progress_token)
    return Meta(
        token if token is not None and token[0] in b'"-0123456789' else None,
        None if said.version is UNSET else said.version.encode(),
        None if said.capabilities is UNSET else said.capabilities,
        said.log_level,
        None if said.traceparent is UNSET else said.traceparent,
        None if said.tracestate is UNSET else said.tracestate,
        None if said.baggage is UNSET else said.baggage,
    )


def _broken(error: Exception) -> errors.McpError:
    if isinstance(error, msgspec.ValidationError):
        return errors.McpError(errors.INVALID_REQUEST, f"Invalid request: {error}")
    if isinstance(error, RecursionError):
        return errors.McpError(errors.INVALID_REQUEST, "Invalid request: JSON is nested too deeply")
    return errors.McpError(errors.PARSE_ERROR, f"Parse error: {error}")


def decode(body: bytes | Raw) -> Message:
    """The one message in `body`. Raises McpError -32700 (not JSON) or -32600 (not a JSON-RPC message)."""
    if type(body) is bytes:
        message = _framing.scan_call(body)
        if message is not None:
            if message.meta is None:
                return message
            meta = _metas.get(message.meta)
            if meta is None:
                try:
                    meta = _as_meta(_meta(message.meta))
                except UNREADABLE:
                    return careful(body)
                small = len(_metas) < KEPT and len(message.meta) <= LARGEST
                if small and meta.progress_token is None and meta.traceparent is None:
                    _metas[message.meta] = meta
            message.meta = meta
            return message
    return careful(body)


def careful(body: bytes | Raw) -> Message:
    """What `decode` does with a message that is not plain: msgspec reads it. A compressed one is a RequestRefused."""
    text = body if type(body) is bytes else _framing.text(body)
    try:
        if not text.isascii():
            text.decode()  # msgspec looks at what it decodes only; raw pieces are spliced into answers (RFC 8259 §8.1)
        found = _message(text)
    except UNREADABLE as error:
        if text[:2] in PACKED:
            raise errors.RequestRefused(
                415, "content_encoding", "The request body is compressed", saw=PACKED[text[:2]], want="JSON as it is"
            ) from None
        raise _broken(error) from None
    params, wrong = _NO_PARAMS, None
    if found.params is not UNSET:
        try:
            params = _params(found.params)
        except UNREADABLE as error:
            wrong = errors.InvalidParams(f"Invalid params: {error}")
            params = _Params(meta=_meta_of(found.params))
    arguments = _framing.text(params.arguments)
    return Message.of(
        read_id(found.id),
        None if found.method is UNSET else found.method,
        None if found.params is UNSET else _framing.text(found.params),
        name=None if params.name is UNSET else params.name,
        uri=None if params.uri is UNSET else params.uri,
        cursor=params.cursor,
        arguments=b"" if arguments == b"null" else arguments,
        meta=None if params.meta is UNSET else _as_meta(params.meta),
        input_responses=_framing.text(params.input_responses) or None,
        request_state=None if params.request_state is UNSET else params.request_state,
        result=None if found.result is UNSET else _framing.text(found.result),
        error=None if found.error is UNSET else _framing.text(found.error),
        wrong=wrong,
    )


_NO_PARAMS = _Params()


def decode_array(body: bytes) -> list[Raw]:
    """The items of a JSON array, each still raw. Raises McpError like `decode`."""
    try:
        return _messages.decode(body)
    except UNREADABLE as error:
        raise _broken(error) from None


def _meta_of(params: Raw) -> _Meta | UnsetType:
    """`params._meta` alone, of params that cannot be read; UNSET when it cannot be read either."""
    try:
        return _only_meta(params).meta
    except UNREADABLE:
        return UNSET


def read_id(raw: Raw | UnsetType) -> bytes | None:
    """The id's JSON text, or None when there is no id member. Raises McpError -32600 for any other JSON type.

    A string that is written with escapes is written anew, so that equal ids are equal bytes.
    """
    if raw is UNSET:
        return None
    text = _framing.text(raw)
    first = text[0]
    if first == 0x22:
        try:
            if b"\\" in text:
                return encode(_anything.decode(text))
            text.decode()
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise errors.McpError(errors.PARSE_ERROR, "Parse error: the id is no text") from None
        return text
    if (0x30 <= first <= 0x39 or first == 0x2D) and not (b"." in text or b"e" in text or b"E" in text):
        return text
    raise errors.McpError(
        errors.INVALID_REQUEST,
        f"Invalid request: id must be a string or an integer, got {text[:40].decode('utf-8', 'replace')}",
    )


def value(raw: bytes | Raw) -> Any:
    """Any JSON value as Python objects. Raises McpError -32602 when it is not readable."""
    try:
        return _anything.decode(raw)
    except UNREADABLE as error:
        raise errors.InvalidParams(f"Invalid params: {error}") from None


def object_of(raw: bytes | None) -> dict[str, Any]:
    """A JSON object as dict, empty when absent or null. Raises McpError -32602 for any other JSON type."""
    if raw is None:
        return {}
    found = value(raw)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise errors.InvalidParams(f"Invalid params: expected an object, got {type(found).__name__}")
    return found


def error_object(code: int, message: str, data: object = None) -> bytes:
    """The encoded `error` member; `data` is left out when None."""
    found: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        found["data"] = data
    return encode(found)


def canonical(raw: bytes | Raw) -> bytes:
    """The same JSON value always as the same bytes, for digests; b"" stays b""."""
    return msgspec.json.encode(value(raw), order="sorted") if raw else b""
