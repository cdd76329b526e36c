"""The live half of the docs page in Chromium: forms made of schemas, what calls say while they run, figures, tokens."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from driving import DRIVERS, scripted
from fastsse import App, Context, ToolError
from real import served

pytestmark = pytest.mark.clients

HOSTILE = "<img src=x onerror=alert(1)></code></pre><script>alert(2)</script>"
USER, ADMIN = "a-token-for-the-tests", "another-token-for-the-tests"


FURTHER = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/one~1kind"}},
    "$defs": {"one/kind": {"type": ["integer", "null"]}},
    "additionalProperties": True,
}


def use(url: str, *arguments: str) -> dict[str, Any]:
    """What a person saw who did what the driver says."""
    return scripted(DRIVERS / "live.mjs", "--url", url, *arguments)


def failed(seen: dict[str, Any]) -> set[int]:
    """The statuses of answers that the browser complained about; it had nothing else to complain about."""
    statuses = [re.fullmatch(r"Failed to load resource: .* status of (\d+) \(.*\)", line) for line in seen["wrong"]]
    assert all(statuses), seen["wrong"]
    return {int(status[1]) for status in statuses if status}


@dataclass
class Point:
    x: float
    y: float = 0.0


def made() -> App:
    app = App("live", version="1.0.0")

    @app.tool
    def shape(
        text: str,
        count: Annotated[int, "How many"],
        colour: Literal["red", "green"],
        point: Point,
        sure: bool = False,
        share: float | None = None,
        tags: list[str] | None = None,
    ) -> str:
        """One of every kind."""
        return json.dumps([text, count, colour, point.x, point.y, sure, share, tags], ensure_ascii=False)

    @app.tool(description=HOSTILE)
    def hostile() -> str:
        return HOSTILE

    @app.tool(input_schema=FURTHER)
    def further(**given: Any) -> str:
        """Takes more than it names."""
        return json.dumps(given)

    @app.tool
    def fails() -> str:
        """Never works."""
        raise ToolError("<b>It is broken</b>")

    @app.tool
    async def steps(context: Context, steps: int) -> str:
        """Says how far it is."""
        for step in range(steps):
            context.progress(step + 1, steps, f"<i>{step}</i>")
            context.info(f"did {step}")
        return "done"

    @app.tool
    async def waits() -> str:
        """Until it is stopped."""
        await asyncio.Event().wait()
        return "never"

    @app.tool
    def grow() -> str:
        """Offers another tool."""
        app.add_tool(lambda: "new", name="grown")
        return "grown"

    return app


@pytest.mark.requirement("D-docs-live")
def test_what_a_person_sees_and_does() -> None:
    with served(made(), session_lost=0.0) as server:
        seen = use(server.url)
    assert failed(seen) == {404}, "nothing but the end of its session"
    assert seen["tools"] == ["shape", "hostile", "further", "fails", "steps", "waits", "grow"]
    assert seen["hostile"] == HOSTILE
    assert seen["labels"] == [
        "text string · required",
        "count integer · required",
        "colour enum · required",
        "point object · required",
        "sure boolean",
        "share number",
        "tags array",
    ]
    assert seen["kinds"] == ["textarea", "input", "select", "textarea", "select", "input", "textarea"]
    assert seen["missing"] == seen["labels"][1:4], "an empty text is a text"
    assert seen["focused"] == seen["labels"][1]
    (syntax,) = seen["syntax"]
    assert "no JSON" in syntax
    state, said = seen["shape"]
    assert state == "Result"
    assert json.loads(said) == ["<b>Grüße</b>\n2", 3, "green", 1.0, 2.0, True, None, ["a", "b"]]
    state, said = seen["invalid"]
    assert "$.count" in state + said
    assert seen["further"] == ["Result", '{"b": [2], "__proto__": 3, "a": 1}']
    assert seen["failure"] == ["The tool reports an error", "<b>It is broken</b>"]
    assert seen["steps"][0] == "Result"
    assert seen["steps"][1].startswith("done")
    assert [event.partition(" ")[0] for event in seen["events"]] == ["progress", "message"] * 3
    assert '"message":"<i>2</i>"' in seen["events"][4]
    assert any("← " in message and "notifications/progress" in message for message in seen["messages"])
    assert any("→ " in message and '"tools/call"' in message for message in seen["messages"])
    assert "notifications/cancelled" in seen["methods"]
    assert "streamable 1" in seen["figures"]
    assert seen["kept"] == "7"
    assert seen["methods"].count("initialize") == 2
    assert seen["again"] == "The tool reports an error"
    assert seen["left"] == 0, "the page ends its session when it is left"


@pytest.mark.requirement("D-docs-live", "D-auth")
def test_where_people_have_to_say_who_they_are() -> None:
    app = App("guarded")

    @app.tool
    def who(context: Context) -> str:
        assert context.principal is not None
        return context.principal.name

    with served(app, tokens=(f"ann: {USER} tools", f"ops: {ADMIN} admin")) as server:
        seen = use(server.url, "--tokens", f"{USER},{ADMIN}")
    assert {401} <= failed(seen) <= {401, 403}
    assert "HTTP 401" in seen["refused"]
    assert (seen["before"], seen["unknown"]) == (0, 0)
    assert seen["who"][0] == "Result"
    assert "ann" in seen["who"][1]
    assert "streamable 1" in seen["figures"]
    assert seen["shown"] is False
    assert seen["kept"] == [0, 0, "", f"{server.url}/docs/"]
    assert seen["left"] == 0
