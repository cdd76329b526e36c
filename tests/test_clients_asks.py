"""What the demo app has no tool for, with the official clients of both languages: sampling, elicitation, resumption.

The drivers `tests/clients/asks_*` call the tools of `conformance_server.py`; what the client's model and user answer is
random, so it can only be in a tool's result when it went all the way. That the stream of a call was really lost and
resumed is told by the `Last-Event-ID` that the client sent. A stack that is not installed fails here.
"""

import secrets
from collections.abc import Iterator

import pytest

from serving import serving
from test_clients import SESSIONS, Case, drive, node, python

pytestmark = pytest.mark.clients

CASES = [
    python("asks_python", "mcp2", "http"),
    python("asks_python", "mcp2", "sse"),
    node("asks_typescript", "http"),
    node("asks_typescript", "sse"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving("tests/conformance_server.py:app") as base:
        yield base


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_client_is_asked_and_resumes(case: Case, server: str) -> None:
    payload = f"{secrets.token_hex(16)} é😀"
    report = drive(case, server, payload)
    assert report["revision"] == SESSIONS
    assert report["asked"] == {
        "sampling": f"prompt {payload}",
        "elicitation": f"message {payload}",
        "fields": ["email", "username"],
    }
    assert report["sampling"] == f"LLM response: model {payload}"
    assert "'accept'" in report["elicitation"]
    assert f"'user {payload}'" in report["elicitation"]
    assert report["reconnection"] == "Reconnection test completed"
    # The stream of /sse is the session: there the tool has none of its own to close, and the result just comes.
    assert len(report["resumed"]) == (1 if case.transport == "http" else 0)
    assert report["after"] == "This is a simple text response for testing."
    assert report["closed"] is True
