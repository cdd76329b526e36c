"""Every feature of App, as a small notebook: python -m fastsse examples/everything.py:app"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastsse import App, Context, EmbeddedResource, Message, ResourceLink, Text, ToolError, ToolResult


@dataclass
class Note:
    title: str
    text: str
    kind: Literal["idea", "task"] = "idea"


@asynccontextmanager
async def notebook(app: App) -> AsyncIterator[dict[str, Note]]:
    yield {"first": Note("first", "Buy milk", "task")}  # a database would be opened before and closed after


app = App("notebook", version="1.0.0", title="A notebook", lifespan=notebook, page_size=50, cache_ttl_ms=1000)


@app.tool(title="Write a note", annotations={"destructiveHint": False}, meta={"example.com/cost": 1})
def write(note: Note, context: Context) -> ResourceLink:
    """Keeps a note. Arguments can be dataclasses; wrong ones are refused with the path of what is wrong."""
    context.lifespan[note.title] = note
    app.resource_updated(f"note://{note.title}")  # to those who subscribed
    app.broadcast("notification", {"type": "notification", "written": note.title})  # to the plain streams of GET /mcp
    return ResourceLink(f"note://{note.title}", note.title)


@app.tool
def find(context: Context, kind: Annotated[Literal["idea", "task"] | None, "Leave out for all"] = None) -> list[Note]:
    """Finds notes; the return type becomes the output schema of structured content."""
    return [note for note in context.lifespan.values() if kind in (None, note.kind)]


@app.tool(inline=True, headers={"text": "Text"}, icons=[{"src": "https://example.com/count.png"}])
def count(text: str) -> int:
    """Counts words; too quick for a thread, so it runs on the loop."""
    return len(text.split())


@app.tool(timeout=30, limit=4, requires={"elicitation": {}})
async def erase(title: str, context: Context) -> ToolResult:
    """Erases a note, after asking the user; tells how far it is."""
    if title not in context.lifespan:
        raise ToolError(f"There is no note {title!r}")
    answer = await context.elicit(f"Erase {title!r}?", {"type": "object", "properties": {"yes": {"type": "boolean"}}})
    context.progress(1, 2, "asked")
    if not answer.get("content", {}).get("yes"):
        return ToolResult("Left as it was", is_error=True)
    context.info(f"erasing {title}")
    del context.lifespan[title]
    return ToolResult([Text("Erased", annotations={"audience": ["user"]})], structured={"left": len(context.lifespan)})


@app.tool(input_schema={"type": "object", "properties": {"from": {"type": "integer"}}}, output_schema=False)
def raw(**members: Any) -> dict[str, Any]:
    """Takes a schema as it is, and gives JSON text without a schema."""
    app.add_tool(lambda: "Only now", name="late", description="Was added by `raw`")  # clients hear of both
    app.remove_tool("late")
    return members


@app.resource("note://all", description="All notes, as JSON", mime_type="application/json")
def everything(context: Context) -> dict[str, Note]:
    return dict(context.lifespan)


@app.resource("note://{title}", title="One note", mime_type="text/plain", annotations={"audience": ["user"]})
def one(title: str, context: Context) -> EmbeddedResource:
    return EmbeddedResource(f"note://{title}", context.lifespan[title].text, "text/plain")


@app.prompt(title="Sort my notes")
def sort(kind: str, most: int = 10) -> list[Message]:
    return [Message(f"Sort my notes of kind {kind}, at most {most}."), Message("Gladly.", role="assistant")]


@app.completion("sort", "kind")
def kinds(text: str) -> list[str]:
    return [kind for kind in ("idea", "task") if kind.startswith(text)]
