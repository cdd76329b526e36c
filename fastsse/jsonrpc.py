"""JSON-RPC messages as structs; `params` stays raw until the handler is known.

The only room that reads the JSON of the wire (a tool's own arguments are read in `schema`). Called by the
eras on floor 3. Refuses what is not one JSON-RPC 2.0 message (JSON-RPC 2.0 §4, MCP basic/messages): ids are
strings or integers, kept as the JSON text they came in, so that they are echoed to the letter.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from fastsse import _framing, errors

__all__ = [
    "ENVELOPE", "NO_PARAMS", "UNSET", "Message", "Meta", "Params", "Raw", "UnsetType", "arguments_of", "canonical",
    "decode", "decode_array", "decode_params", "encode", "error_object", "meta_of", "object_of", "read_id",
    "read_token", "value",
]  # fmt: skip

ENVELOPE = "io.modelcontextprotocol/"


class Message(msgspec.Struct, gc=False):
    """One request, notification or response; members that are absent are UNSET."""

    jsonrpc: Literal["2.0"]
    id: Raw | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class Meta(msgspec.Struct, gc=False):
    """`params._meta`: what a request says about itself; the envelope of 2026-07-28 lives here."""

    progress_token: Raw | UnsetType = msgspec.field(default=UNSET, name="progressToken")
    version: str | UnsetType = msgspec.field(default=UNSET, name=ENVELOPE + "protocolVersion")
    capabilities: Raw | UnsetType = msgspec.field(default=UNSET, name=ENVELOPE + "clientCapabilities")
    client_info: Raw | UnsetType = msgspec.field(default=UNSET, name=ENVELOPE + "clientInfo")
    log_level: Raw | UnsetType = msgspec.field(default=UNSET, name=ENVELOPE + "logLevel")
    traceparent: str | UnsetType = UNSET


class Params(msgspec.Struct, gc=False):
    """What the house itself reads of any params: the name of what is asked for, arguments, `_meta`."""

    name: str | UnsetType = UNSET
    uri: str | UnsetType = UNSET
    arguments: Raw | UnsetType = UNSET
    cursor: str | UnsetType | None = UNSET
    meta: Meta | UnsetType = msgspec.field(default=UNSET, name="_meta")
    input_responses: Raw | UnsetType = msgspec.field(default=UNSET, name="inputResponses")
    request_state: str | UnsetType = msgspec.field(default=UNSET, name="requestState")


class _OnlyMeta(msgspec.Struct, gc=False):
    meta: Meta | UnsetType = msgspec.field(default=UNSET, name="_meta")


NO_PARAMS = Params()
NULL = Raw(b"null")

_message = msgspec.json.Decoder(Message).decode
_messages = msgspec.json.Decoder(list[Raw])
_params = msgspec.json.Decoder(Params).decode
_only_meta = msgspec.json.Decoder(_OnlyMeta)
_anything = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
encode = _encoder.encode


def _broken(error: Exception) -> errors.McpError:
    if isinstance(error, msgspec.ValidationError):
        return errors.McpError(errors.INVALID_REQUEST, f"Invalid request: {error}")
    if isinstance(error, RecursionError):
        return errors.McpError(errors.INVALID_REQUEST, "Invalid request: JSON is nested too deeply")
    return errors.McpError(errors.PARSE_ERROR, f"Parse error: {error}")


def decode(body: bytes | Raw) -> Message:
    """The one message in `body`. Raises McpError -32700 (not JSON) or -32600 (not a JSON-RPC message)."""
    try:
        return _message(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _broken(error) from None


def decode_array(body: bytes) -> list[Raw]:
    """The items of a JSON array, each still raw. Raises McpError like `decode`."""
    try:
        return _messages.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _broken(error) from None


def decode_params(params: Raw | UnsetType) -> Params:
    """`params` as far as the house reads it. Raises McpError -32602."""
    if params is UNSET:
        return NO_PARAMS
    try:
        return _params(params)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise errors.InvalidParams(f"Invalid params: {error}") from None


def meta_of(params: Raw | UnsetType) -> Meta | None:
    """`params._meta` alone, for params that `decode_params` refuses; None when it cannot be read either."""
    if params is UNSET:
        return None
    try:
        meta = _only_meta.decode(params).meta
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return None if meta is UNSET else meta


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


def read_token(raw: Raw | UnsetType) -> bytes | None:
    """A progress token's JSON text; None when there is none or it is neither string nor number."""
    if raw is UNSET:
        return None
    text = _framing.text(raw)
    return text if text[0] in b'"-0123456789' else None


def value(raw: bytes | Raw) -> Any:
    """Any JSON value as Python objects. Raises McpError -32602 when it is not readable."""
    try:
        return _anything.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise errors.InvalidParams(f"Invalid params: {error}") from None


def object_of(raw: Raw | UnsetType) -> dict[str, Any]:
    """A JSON object as dict, empty when absent or null. Raises McpError -32602 for any other JSON type."""
    if raw is UNSET:
        return {}
    found = value(raw)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise errors.InvalidParams(f"Invalid params: expected an object, got {type(found).__name__}")
    return found


NO_ARGUMENTS = b""


def arguments_of(params: Params) -> bytes | Raw:
    """The raw JSON of `params.arguments`; empty when absent or null."""
    arguments = params.arguments
    if arguments is UNSET or (len(arguments) == 4 and arguments == NULL):
        return NO_ARGUMENTS
    return arguments


def error_object(code: int, message: str, data: object = None) -> bytes:
    """The encoded `error` member; `data` is left out when None."""
    found: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        found["data"] = data
    return encode(found)


def canonical(raw: bytes | Raw) -> bytes:
    """The same JSON value always as the same bytes, for digests; b"" stays b""."""
    return msgspec.json.encode(value(raw), order="sorted") if raw else b""
