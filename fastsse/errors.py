"""Exceptions by whose fault they are, JSON-RPC codes, the reasons why something ends.

Called by every floor; imports nothing of ours. Three families:

* `RequestRefused`: the peer sent what HTTP or our limits forbid; carries the status and what to say.
* `McpError` and its children: what a handler raises to answer with a JSON-RPC error, `ToolError` to
  answer with a tool result that says `isError`.
* `ConfigError`: the operator set something that cannot work.

A refusal says what was seen, what was wanted and which setting changes it (design §1).
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
SERVER_ERROR: Final = -32000
SESSION_NOT_FOUND: Final = -32001  # unspecified; the most widely recognised code beside HTTP 404
RESOURCE_NOT_FOUND: Final = -32002  # 2024-11-05 … 2025-11-25; forbidden from 2026-07-28 on
HEADER_MISMATCH: Final = -32020  # 2026-07-28
MISSING_CAPABILITY: Final = -32021  # 2026-07-28
UNSUPPORTED_VERSION: Final = -32022  # 2026-07-28

MODERN_STATUS: Final[dict[int, int]] = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    METHOD_NOT_FOUND: 404,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
}
"""JSON-RPC code to HTTP status at 2026-07-28 (basic/transports); codes not named here answer 200."""

LEGACY_STATUS: Final[dict[int, int]] = {PARSE_ERROR: 400, INVALID_REQUEST: 400}
"""The same for the handshake revisions: an error is an answer like any other, 200."""


class FastsseError(Exception):
    """Parent of all exceptions that fastsse raises; never raised itself."""


class ConfigError(FastsseError):
    """A setting that cannot work; the message names it, its value and what would be accepted."""


class RequestRefused(FastsseError):
    """The peer sent what we do not take; becomes an HTTP answer with `status` and a JSON-RPC error body.

    `reason` is a stable slug; `saw`, `want` and `setting` go into `error.data` (left out for strangers). `retry_after`:
    seconds after which it may go better, said with 429 and 503.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        saw: object = None,
        want: object = None,
        setting: str | None = None,
        code: int = INVALID_REQUEST,
        retry_after: int = 1,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.saw = saw
        self.want = want
        self.setting = setting
        self.code = code
        self.retry_after = retry_after

    def data(self) -> dict[str, Any]:
        """`error.data` for somebody who may know: reason, saw, want, setting (those that are known)."""
        said = {"reason": self.reason, "saw": self.saw, "want": self.want, "setting": self.setting}
        return {key: value for key, value in said.items() if value is not None}


class McpError(FastsseError):
    """Raise it in a handler to answer the request with this JSON-RPC error.

    `code` is an integer, `message` one sentence, `data` any JSON value. Codes from -32768 to -32000 are
    reserved by JSON-RPC and MCP; applications use others.
    """

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class InvalidParams(McpError):
    """The request's params are wrong: -32602."""

    def __init__(self, message: str, data: object = None) -> None:
        super().__init__(INVALID_PARAMS, message, data)


class MethodNotFound(McpError):
    """The method is not served: -32601."""

    def __init__(self, method: str, data: object = None) -> None:
        super().__init__(METHOD_NOT_FOUND, f"Method not found: {method}", data)


class ResourceNotFound(McpError):
    """No such resource: -32002 in the handshake revisions, -32602 from 2026-07-28 on (the era turns it)."""

    def __init__(self, uri: str) -> None:
        super().__init__(RESOURCE_NOT_FOUND, f"Resource not found: {uri}", {"uri": uri})


class ClientLacks(McpError):
    """The client has not declared a capability that the call needs: -32021 at 2026-07-28."""

    def __init__(self, capability: str, required: dict[str, Any], message: str | None = None) -> None:
        super().__init__(
            MISSING_CAPABILITY,
            message or f"The client did not declare the capability {capability!r} that this request needs",
            {"requiredCapabilities": required},
        )
        self.capability = capability


class ToolError(FastsseError):
    """Raise it in a tool to tell the model what went wrong: a result with `isError: true` and this text."""


class AskError(ToolError):
    """A question to the client went unanswered or was refused; the message says why."""


class CloseReason(Enum):
    """Why a connection or stream ended; the value is what logs and metrics say."""

    CLIENT_CLOSED = "client closed"
    ANSWERED = "answered"
    REFUSED = "request refused"
    SLOW_HEAD = "slow head"
    SLOW_BODY = "slow body"
    IDLE = "keep-alive ran out"
    SLOW_CONSUMER = "slow consumer"
    STALLED = "no progress before stall_timeout"
    OVERLOAD = "the server keeps too many bytes"
    REPLACED = "a newer stream took its place"
    SESSION_ENDED = "session ended"
    SHUTDOWN = "server stops"
    EXPIRED = "credentials expired"
    FAILED = "internal error"
