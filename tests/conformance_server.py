"""The server that the official conformance suite is run against, written with `App` as anybody would write one.

    python -m fastsse tests/conformance_server.py:app --port 3000

Names, keys and quoted texts are those that the suite looks for; what a tool is for is said in its description.
"""

import asyncio
import struct
import zlib
from typing import Any

from fastsse import (
    App,
    Audio,
    Context,
    EmbeddedResource,
    Image,
    Message,
    Text,
    ToolError,
    elicit,
    roots,
    sample,
)

app = App("conformance", version="1.0.0")


def png() -> bytes:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def wav() -> bytes:
    """A moment of silence: 8 kHz, mono, 8 bits."""
    sound = b"\x80" * 80
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + form + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


def form(**properties: dict[str, Any]) -> dict[str, Any]:
    """A schema to ask a user with."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def content_of(answer: Any, key: str) -> Any:
    """One field of an accepted form, None when there is none."""
    return answer.get("content", {}).get(key) if answer.get("action") == "accept" else None


# --- what tools can give back


@app.tool
def test_simple_text() -> str:
    """Gives a text."""
    return "This is a simple text response for testing."


@app.tool
def test_image_content() -> Image:
    """Gives an image."""
    return Image(png())


@app.tool
def test_audio_content() -> Audio:
    """Gives a sound."""
    return Audio(wav())


@app.tool
def test_embedded_resource() -> EmbeddedResource:
    """Gives the contents of a resource."""
    return EmbeddedResource("test://embedded-resource", "This is an embedded resource content.", "text/plain")


@app.tool
def test_multiple_content_types() -> list[Text | Image | EmbeddedResource]:
    """Gives a text, an image and a resource."""
    data = '{"test":"data","value":123}'
    return [
        Text("Multiple content types test:"),
        Image(png()),
        EmbeddedResource("test://mixed-content-resource", data, "application/json"),
    ]


@app.tool
def test_error_handling() -> str:
    """Fails, always."""
    raise ToolError("This tool intentionally returns an error for testing")


SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@app.tool(input_schema=SCHEMA_2020_12)
def json_schema_2020_12_tool(**contact: Any) -> str:
    """Takes a schema with everything that JSON schema 2020-12 has."""
    return f"Got {', '.join(contact) or 'nothing'}"


@app.tool(headers={"region": "Region"})
def test_x_mcp_header(region: str = "nowhere") -> str:  # noqa: PT028
    """Has an argument that clients mirror in a header."""
    return f"Region: {region}"


# --- what tools can do while they run


@app.tool
async def test_tool_with_logging(context: Context) -> str:
    """Logs three times."""
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        context.info(text)
        await asyncio.sleep(0.05)
    return "Logged three times"


@app.tool
async def test_logging_tool(context: Context) -> str:
    """Logs once, for clients that want it."""
    context.info("A log message")
    return "Logged, if you wanted it"


@app.tool
async def test_tool_with_progress(context: Context) -> str:
    """Reports progress three times."""
    for done in (0, 50, 100):
        context.progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return "Done"


@app.tool
async def test_reconnection(context: Context) -> str:
    """Closes its stream before it is done; the client fetches the result."""
    context.close_stream()
    await asyncio.sleep(0.1)
    return "Reconnection test completed"


@app.tool(requires={"sampling": {}})
def test_missing_capability() -> str:
    """Is run only for clients that can sample."""
    return "The client can sample"


@app.tool
def test_trigger_tool_change() -> str:
    """Changes the list of tools, and back."""
    app.add_tool(lambda: "there for a moment", name="passing_tool", description="Is gone again")
    app.remove_tool("passing_tool")
    return "The list of tools has changed"


@app.tool
def test_trigger_prompt_change() -> str:
    """Changes the list of prompts, and back."""
    app.add_prompt(lambda: "there for a moment", name="passing_prompt", description="Is gone again")
    app.remove_prompt("passing_prompt")
    return "The list of prompts has changed"


# --- what tools can ask


@app.tool
async def test_sampling(prompt: str, context: Context) -> str:
    """Asks the client's model."""
    answer = await context.sample(prompt, max_tokens=100)
    return f"LLM response: {answer['content'].get('text')}"


@app.tool
async def test_elicitation(message: str, context: Context) -> str:
    """Asks the user for a name and an address."""
    fields = form(username={"type": "string"}, email={"type": "string"})
    answer = await context.elicit(message, fields)
    return f"User response: {answer}"


@app.tool
async def test_streaming_elicitation(context: Context) -> str:
    """Asks the user whether to go on."""
    answer = await context.ask(go_on=elicit("Go on?", form(yes={"type": "boolean"})))
    return f"User response: {answer['go_on']}"


@app.tool
async def test_elicitation_sep1034_defaults(context: Context) -> str:
    """Asks with a default of every kind."""
    fields = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    answer = await context.elicit("Please check these values", {"type": "object", "properties": fields})
    return f"Elicitation completed: {answer}"


@app.tool
async def test_elicitation_sep1330_enums(context: Context) -> str:
    """Asks with an enumeration of every form."""
    values = ["one", "two", "three"]
    titled = [{"const": value, "title": value.title()} for value in values]
    fields = {
        "untitledSingle": {"type": "string", "enum": values},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": values, "enumNames": [value.title() for value in values]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": values}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    answer = await context.elicit("Please choose", {"type": "object", "properties": fields})
    return f"Elicitation completed: {answer}"


NAME = elicit("What is your name?", form(name={"type": "string"}))
CONFIRM = elicit("Please confirm", form(ok={"type": "boolean"}))


@app.tool
async def test_input_required_result_elicitation(context: Context) -> str:
    """Asks for the user's name."""
    answers = await context.ask(user_name=NAME)
    return f"Hello, {content_of(answers['user_name'], 'name')}!"


@app.tool
async def test_input_required_result_sampling(context: Context) -> str:
    """Asks the client's model."""
    answers = await context.ask(capital=sample("What is the capital of France?", max_tokens=100))
    return f"The model said: {answers['capital']['content'].get('text')}"


@app.tool
async def test_input_required_result_list_roots(context: Context) -> str:
    """Asks for the client's roots."""
    answers = await context.ask(client_roots=roots())
    return f"Roots: {[root['uri'] for root in answers['client_roots']['roots']]}"


@app.tool
async def test_input_required_result_request_state(context: Context) -> str:
    """Asks once; the state between the two rounds is the server's."""
    answers = await context.ask(confirm=CONFIRM)
    return f"state-ok, confirmed: {content_of(answers['confirm'], 'ok')}"


@app.tool
async def test_input_required_result_tampered_state(context: Context) -> str:
    """Asks once; a state that is not the server's own is refused."""
    answers = await context.ask(confirm=CONFIRM)
    return f"Confirmed: {content_of(answers['confirm'], 'ok')}"


@app.tool
async def test_input_required_result_multiple_inputs(context: Context) -> str:
    """Asks the user, the model and for the roots at once."""
    answers = await context.ask(
        user_name=NAME, greeting=sample("Write a greeting", max_tokens=100), client_roots=roots()
    )
    return f"Got {', '.join(answers)}"


@app.tool
async def test_input_required_result_multi_round(context: Context) -> str:
    """Asks twice, one after the other."""
    first = await context.ask(step1=NAME)
    name = content_of(first["step1"], "name")
    second = await context.ask(step2=elicit(f"{name}, what is your favourite colour?", form(color={"type": "string"})))
    return f"{name} likes {content_of(second['step2'], 'color')}"


@app.tool
async def test_input_required_result_capabilities(context: Context) -> str:
    """Asks only for what the client can answer."""
    can = context.client_capabilities
    questions = {"user_name": NAME, "greeting": sample("Write a greeting", max_tokens=100), "client_roots": roots()}
    needs = {"user_name": "elicitation", "greeting": "sampling", "client_roots": "roots"}
    answers = await context.ask(**{key: question for key, question in questions.items() if needs[key] in can})
    return f"Got {', '.join(answers)}"


# --- resources


@app.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@app.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image."""
    return png()


@app.resource("test://watched-resource", mime_type="text/plain")
def watched_resource() -> str:
    """A text that clients subscribe to."""
    return "Watched resource content"


@app.resource("test://template/{id}/data", mime_type="application/json")
def template_data(id: str) -> dict[str, Any]:
    """Data about any id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


# --- prompts


@app.prompt
def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@app.prompt
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@app.completion("test_prompt_with_arguments", "arg1")
def complete_arg1(text: str) -> list[str]:
    return [value for value in ("test", "testing", "tested") if value.startswith(text)]


@app.prompt
def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:  # noqa: N803
    """A prompt that brings a resource."""
    resource = EmbeddedResource(resourceUri, "Embedded resource content for testing.", "text/plain")
    return [Message(resource), Message("Please process the embedded resource above.")]


@app.prompt
def test_prompt_with_image() -> list[Message]:
    """A prompt that brings an image."""
    return [Message(Image(png())), Message("Please analyze the image above.")]


@app.prompt
async def test_input_required_result_prompt(context: Context) -> str:
    """A prompt that asks the user first."""
    fields = form(context={"type": "string"})
    answers = await context.ask(user_context=elicit("What context should the prompt use?", fields))
    return f"Use the following context: {content_of(answers['user_context'], 'context')}"
