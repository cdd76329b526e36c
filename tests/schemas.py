"""The official JSON schemas of the five revisions (`schema/`, data), and what a server may say by them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

SCHEMAS = Path(__file__).parent / "schema"

RESULTS = {
    "initialize": "InitializeResult",
    "ping": "EmptyResult",
    "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult",
    "resources/list": "ListResourcesResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/read": "ReadResourceResult",
    "resources/subscribe": "EmptyResult",
    "resources/unsubscribe": "EmptyResult",
    "prompts/list": "ListPromptsResult",
    "prompts/get": "GetPromptResult",
    "completion/complete": "CompleteResult",
    "logging/setLevel": "EmptyResult",
    "server/discover": "DiscoverResult",
    "subscriptions/listen": "SubscriptionsListenResult",
}
ERRORS = {
    -32020: "HeaderMismatchError",
    -32021: "MissingRequiredClientCapabilityError",
    -32022: "UnsupportedProtocolVersionError",
}
"""Codes whose whole error message 2026-07-28 describes."""


@cache
def schema(revision: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"{revision}.json").read_text())
    return found


@cache
def validator(revision: str, name: str) -> Validator:
    whole = schema(revision)
    key = "$defs" if "$defs" in whole else "definitions"
    return validator_for(whole)(whole | {"$ref": f"#/{key}/{name}"})


def knows(revision: str, name: str) -> bool:
    whole = schema(revision)
    return name in (whole.get("$defs") or whole["definitions"])


def check(revision: str, message: dict[str, Any], method: str | None = None) -> None:
    """Raises ValidationError when a server of that revision must not say `message`; `method`: what it answers."""
    if "method" in message:
        kind = "ServerRequest" if "id" in message else "ServerNotification"
        assert knows(revision, kind), f"{revision} has no {kind}: {message}"
        validator(revision, kind).validate(message)
        validator(revision, "JSONRPCRequest" if "id" in message else "JSONRPCNotification").validate(message)
    elif "error" in message:
        _check_error(revision, message)
    else:
        modern = knows(revision, "InputRequiredResult")
        asks = modern and message["result"].get("resultType") == "input_required"
        validator(revision, "JSONRPCResponse").validate(message)
        assert method is not None, f"an answer to nothing: {message}"
        validator(revision, "InputRequiredResult" if asks else RESULTS[method]).validate(message["result"])


def _check_error(revision: str, message: dict[str, Any]) -> None:
    name = "JSONRPCErrorResponse" if knows(revision, "JSONRPCErrorResponse") else "JSONRPCError"
    if "id" not in message and name == "JSONRPCError":
        # Before 2025-11-25 the schemas know no error without an id, and JSON-RPC's null breaks clients of that time.
        message = message | {"id": 0}
    validator(revision, name).validate(message)
    code = message["error"]["code"]
    if knows(revision, ERRORS.get(code, "")):
        validator(revision, ERRORS[code]).validate(message)
    # Retired, or reserved for what is yet to come.
    modern = knows(revision, "InputRequiredResult")
    assert not (modern and (code in (-32002, -32042) or -32099 <= code <= -32023)), message
    assert modern or code not in ERRORS, message
