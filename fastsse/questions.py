"""What a handler may ask the client: elicitation, sampling, roots.

Values only; `Context.ask` sends them, each era in its way (a request on the call's stream up to 2025-11-25,
an `input_required` result from 2026-07-28 on). `capability` is what the client must have declared, as a
path into ClientCapabilities. Sources: MCP client/elicitation, client/sampling, client/roots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastsse.errors import ClientLacks
from fastsse.revisions import Revision


class Question:
    """`method` and `params` as they go over the wire; `capability`: e.g. ("elicitation", "url")."""

    __slots__ = ("capability", "method", "params")

    def __init__(self, method: str, params: dict[str, Any], capability: tuple[str, ...]) -> None:
        self.method = method
        self.params = params
        self.capability = capability

    def __repr__(self) -> str:
        return f"<Question {self.method}>"


def elicit(message: str, schema: Mapping[str, Any]) -> Question:
    """Asks the user to fill a form. `schema`: a flat JSON schema object of primitives.

    The answer is `{"action": "accept" | "decline" | "cancel", "content": {...} (with accept)}`.
    """
    return Question(
        "elicitation/create", {"message": message, "requestedSchema": dict(schema)}, ("elicitation", "form")
    )


def elicit_url(message: str, url: str, elicitation_id: str | None = None) -> Question:
    """Asks the user to visit a page (2025-11-25 and later); the answer has an `action` only."""
    params: dict[str, Any] = {"mode": "url", "message": message, "url": url}
    if elicitation_id is not None:
        params["elicitationId"] = elicitation_id
    return Question("elicitation/create", params, ("elicitation", "url"))


def sample(messages: str | Sequence[Mapping[str, Any]], max_tokens: int = 1000, **more: Any) -> Question:
    """Asks the client's model. `messages`: one user text, or SamplingMessages; `more`: systemPrompt,
    temperature, stopSequences, modelPreferences, metadata, includeContext, tools, toolChoice.

    The answer is a CreateMessageResult: `{"role", "content", "model", "stopReason"?}`.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": {"type": "text", "text": messages}}]
    capability = ("sampling", "tools") if "tools" in more or "toolChoice" in more else ("sampling",)
    return Question("sampling/createMessage", {"messages": list(messages), "maxTokens": max_tokens, **more}, capability)


def roots() -> Question:
    """Asks for the client's roots; the answer is `{"roots": [{"uri", "name"?}]}`."""
    return Question("roots/list", {}, ("roots",))


def ping() -> Question:
    """Asks whether the client is there; the answer is `{}` (not at 2026-07-28)."""
    return Question("ping", {}, ())


def check(question: Question, capabilities: Mapping[str, Any] | None, revision: Revision) -> None:
    """Raises ClientLacks when the client has not declared what the question needs, or its revision does not know it."""
    if not question.capability:
        return
    kind, *detail = question.capability
    declared = (capabilities or {}).get(kind)
    required: dict[str, Any] = {kind: {detail[0]: {}} if detail and detail[0] != "form" else {}}
    if not isinstance(declared, Mapping):
        raise ClientLacks(kind, required)
    if kind == "elicitation":
        if not revision.elicitation:
            raise ClientLacks(kind, required, f"Revision {revision.name} has no elicitation")
        # {} means form only; {"url": {}} alone means url only (2025-11-25, client/elicitation).
        if detail[0] == "url" and ("url" not in declared or not revision.elicitation_url):
            raise ClientLacks("elicitation.url", required)
        if detail[0] == "form" and "url" in declared and "form" not in declared:
            raise ClientLacks("elicitation.form", {"elicitation": {"form": {}}})
    elif detail and detail[0] not in declared:
        raise ClientLacks(".".join(question.capability), required)
