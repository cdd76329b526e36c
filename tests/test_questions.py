"""What may be asked of a client: only what it declared, and what its revision knows."""

from typing import Any

import pytest

from fastsse.errors import MISSING_CAPABILITY, ClientLacks
from fastsse.questions import Question, check, elicit, elicit_url, ping, roots, sample
from fastsse.revisions import R1, R2, R3, R4, R5, Revision

FORM = elicit("Who are you?", {"type": "object", "properties": {}})
URL = elicit_url("Please sign in", "https://example.com/in")
SAMPLE = sample("Hello")
TOOLS = sample("Hello", tools=[])


def test_questions_as_they_travel() -> None:
    assert (FORM.method, FORM.params) == (
        "elicitation/create",
        {"message": "Who are you?", "requestedSchema": {"type": "object", "properties": {}}},
    )
    assert URL.params == {"mode": "url", "message": "Please sign in", "url": "https://example.com/in"}
    assert elicit_url("m", "u", "id").params["elicitationId"] == "id"
    assert SAMPLE.params == {
        "messages": [{"role": "user", "content": {"type": "text", "text": "Hello"}}],
        "maxTokens": 1000,
    }
    said = [{"role": "assistant", "content": {"type": "text", "text": "Hi"}}]
    assert sample(said, 5, temperature=0.5).params == {"messages": said, "maxTokens": 5, "temperature": 0.5}
    assert [(one.method, one.params) for one in (roots(), ping())] == [("roots/list", {}), ("ping", {})]
    assert repr(roots()) == "<Question roots/list>"


@pytest.mark.requirement("L-12", "R-10")
@pytest.mark.parametrize(
    ("question", "capabilities", "revision", "allowed"),
    [
        (ping(), None, R1, True),
        (roots(), {}, R4, False),
        (roots(), None, R4, False),
        (roots(), {"roots": {}}, R1, True),
        (SAMPLE, {"roots": {}}, R4, False),
        (SAMPLE, {"sampling": {}}, R1, True),
        (SAMPLE, {"sampling": True}, R4, False),
        (TOOLS, {"sampling": {}}, R4, False),
        (TOOLS, {"sampling": {"tools": {}}}, R4, True),
        (FORM, {}, R4, False),
        (FORM, {"elicitation": {}}, R2, False),
        (FORM, {"elicitation": {}}, R3, True),
        (FORM, {"elicitation": {"form": {}}}, R4, True),
        (FORM, {"elicitation": {"form": {}, "url": {}}}, R5, True),
        (FORM, {"elicitation": {"url": {}}}, R4, False),
        (URL, {"elicitation": {}}, R5, False),
        (URL, {"elicitation": {"form": {}}}, R4, False),
        (URL, {"elicitation": {"url": {}}}, R4, True),
        (URL, {"elicitation": {"url": {}}}, R5, True),
        (URL, {"elicitation": {"url": {}}}, R3, False),
    ],
)
def test_only_what_was_declared_is_asked(
    question: Question, capabilities: dict[str, Any] | None, revision: Revision, allowed: bool
) -> None:
    if allowed:
        check(question, capabilities, revision)
        return
    with pytest.raises(ClientLacks):
        check(question, capabilities, revision)


@pytest.mark.requirement("N-14")
@pytest.mark.parametrize(
    ("question", "required"),
    [
        (roots(), {"roots": {}}),
        (SAMPLE, {"sampling": {}}),
        (TOOLS, {"sampling": {"tools": {}}}),
        (FORM, {"elicitation": {}}),
        (URL, {"elicitation": {"url": {}}}),
    ],
)
def test_what_is_missing_is_named_as_client_capabilities(question: Question, required: dict[str, Any]) -> None:
    with pytest.raises(ClientLacks) as refused:
        check(question, {}, R5)
    assert refused.value.code == MISSING_CAPABILITY
    assert refused.value.data == {"requiredCapabilities": required}
