"""The app that the checklist is run against: one tool for each thing that a server can do or get wrong.

Tools that take their time wait for the test, not for the clock: `wait` says when it has begun, goes on when it is
let, and says how it ended.
"""

import asyncio
import queue
from typing import Any

from fastsse import App, Audio, Context, ResourceLink, ToolError, elicit, elicit_url, roots, sample

WAIT = 10.0
FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


class Fixture:
    """`begun` and `ended` tell of `wait`; `ran` counts what had a side effect; `fetched` is where a $ref leads."""

    def __init__(self, fetched: str = "http://127.0.0.1:1/schema.json") -> None:
        self.begun: queue.Queue[str] = queue.Queue()
        self.ended: queue.Queue[tuple[str, str]] = queue.Queue()
        self.gates: dict[str, asyncio.Event] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ran: list[str] = []
        self.app = app = App("checklist", version="1.0", page_size=3, cache_ttl_ms=1000)
        for tool in (self.echo, self.add, self.fail, self.crash, self.numbers, self.effect):
            app.add_tool(tool, inline=True)
        for slow in (self.wait, self.speak, self.levels, self.poll, self.audio, self.link, self.change, self.touch):
            app.add_tool(slow)
        for asking in (self.ask_name, self.ask_twice, self.ask_url, self.ask_model, self.ask_roots, self.ask_all):
            app.add_tool(asking)
        app.add_tool(self.wait, name="needs_sampling", requires={"sampling": {}})
        app.add_tool(self.mirrored, inline=True, headers={"region": "Region", "count": "Count", "dry": "Dry"})
        reference = {"type": "object", "properties": {"x": {"$ref": fetched}}}
        app.add_tool(self.referring, inline=True, input_schema=reference)
        app.add_resource("test://text", lambda: "some text", name="text", mime_type="text/plain")
        app.add_resource("test://bytes", lambda: b"\0\xff", name="bytes")
        app.add_resource("test://other", lambda: "other", name="other")
        app.add_resource("test://asks", self.asking_resource)
        app.add_resource("test://files/{name}", lambda name: f"file {name}", name="files")
        app.add_prompt(self.greet)
        app.add_prompt(self.asking_prompt)
        app.completion("greet", "who")(self.complete)

    def let(self, key: str) -> None:
        """Lets a tool that waits go on."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.gates[key].set)

    # --- plain ones

    def echo(self, text: str) -> str:
        """Says it back."""
        return text

    def add(self, a: float, b: float) -> float:
        """Adds; its result is structured."""
        return a + b

    def numbers(self) -> list[int]:
        """A list, which older revisions only take in an object."""
        return [1, 2, 3]

    def fail(self) -> str:
        raise ToolError("said to the model")

    def crash(self) -> str:
        raise RuntimeError("a secret")

    def effect(self, mark: str) -> str:
        self.ran.append(mark)
        return mark

    def mirrored(self, region: str = "-", count: int = 0, dry: bool = False) -> str:
        return f"{region} {count} {dry}"

    def referring(self, **members: Any) -> str:
        return str(sorted(members))

    def audio(self) -> Audio:
        return Audio(b"RIFF")

    def link(self) -> ResourceLink:
        return ResourceLink("test://text", "text")

    # --- those that take their time

    async def wait(self, key: str, context: Context) -> str:
        self.loop = asyncio.get_running_loop()
        self.gates[key] = asyncio.Event()
        self.begun.put(key)
        try:
            async with asyncio.timeout(WAIT):
                await self.gates[key].wait()
        except asyncio.CancelledError:
            self.ended.put((key, "cancelled"))
            raise
        self.ended.put((key, "done"))
        return f"{key} done"

    async def poll(self, key: str, context: Context) -> str:
        """Closes its connection while it goes on."""
        context.close_stream(1)
        return await self.wait(key, context)

    async def speak(self, context: Context, key: str | None = None) -> str:
        """Reports progress, one step back among the steps; then it may wait."""
        for step in (1, 2, 1, 3):
            context.progress(step, 3, f"step {step}")
        if key is not None:
            await self.wait(key, context)
        return "spoken"

    async def levels(self, context: Context) -> str:
        for level in ("debug", "info", "warning", "error"):
            context.log(level, f"at {level}", "here")
        return "logged"

    def change(self) -> str:
        """Changes the list of tools, and back."""
        self.app.add_tool(self.echo, name="passing", inline=True)
        self.app.remove_tool("passing")
        return "changed"

    def touch(self, uri: str) -> str:
        self.app.resource_updated(uri)
        return "touched"

    # --- those that ask

    async def ask_name(self, context: Context) -> str:
        answer = await context.elicit("Who are you?", FORM)
        return f"{answer['action']}: {answer.get('content', {}).get('name')}"

    async def ask_twice(self, context: Context) -> str:
        first = await context.ask(first=elicit("Who?", FORM))
        second = await context.ask(second=elicit(f"And {first['first']['content']['name']}?", FORM))
        return f"{first['first']['content']['name']}, {second['second']['content']['name']}"

    async def ask_url(self, context: Context) -> str:
        answer = await context.ask(visit=elicit_url("Please sign in", "https://example.com/in"))
        return str(answer["visit"]["action"])

    async def ask_model(self, context: Context) -> str:
        answer = await context.sample("Say something")
        return str(answer["content"]["text"])

    async def ask_roots(self, context: Context) -> str:
        return str([root["uri"] for root in await context.roots()])

    async def ask_all(self, context: Context) -> str:
        answers = await context.ask(who=elicit("Who?", FORM), where=roots(), what=sample("Say something"))
        return str(list(answers))

    async def asking_resource(self, context: Context) -> str:
        answer = await context.elicit("May I?", FORM)
        return f"read by {answer['content']['name']}"

    async def asking_prompt(self, context: Context) -> str:
        answer = await context.elicit("For whom?", FORM)
        return f"For {answer['content']['name']}"

    def greet(self, who: str) -> str:
        return f"Greet {who}"

    def complete(self, text: str) -> list[str]:
        return [f"{text}{number}" for number in range(150)]
