"""Content blocks as each revision gets to see them."""

from __future__ import annotations

import base64
import json

import pytest

from fastsse import content
from fastsse.content import Audio, EmbeddedResource, Image, Message, ResourceLink, Text
from fastsse.revisions import R1, R2, R3, R4, R5, Revision

PNG = b"\x89PNG\r\n"
BLOCKS = [
    Text("hello", annotations={"audience": ["user"], "priority": 0.5}),
    Image(PNG, meta={"com.example/a": 1}),
    Audio(b"RIFF", annotations={"priority": 1.0}),
    EmbeddedResource("demo://a", "text", "text/plain", contents_meta={"com.example/b": 2}),
    EmbeddedResource("demo://b", b"\x00\x01"),
    ResourceLink(
        "demo://c", "c", title="The C", size=3, mime_type="text/plain", icons=[{"src": "https://e.org/i.png"}]
    ),
]


FIRST = {"text", "image", "resource"}
KNOWN = {R1: FIRST, R2: {*FIRST, "audio"}, **{key: {*FIRST, "audio", "resource_link"} for key in (R3, R4, R5)}}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: type(block).__name__)
@pytest.mark.parametrize("revision", KNOWN, ids=lambda revision: revision.name)
def test_a_revision_sees_only_blocks_that_it_knows(block: content.Block, revision: Revision) -> None:
    rendered = json.loads(json.dumps(block.render(revision)))
    assert rendered["type"] in KNOWN[revision]
    assert rendered.get("annotations") == block.annotations
    assert rendered.get("_meta") == block.meta


def test_bytes_travel_as_base64() -> None:
    assert Image(PNG).render(R1) == {
        "type": "image",
        "data": base64.b64encode(PNG).decode(),
        "mimeType": "image/png",
    }


def test_audio_is_embedded_where_it_is_unknown() -> None:
    sound = Audio(b"RIFF", "audio/wav", annotations={"priority": 1.0})
    assert sound.render(R2)["type"] == "audio"
    assert sound.render(R1) == {
        "type": "resource",
        "resource": {"uri": "embedded://audio", "mimeType": "audio/wav", "blob": "UklGRg=="},
        "annotations": {"priority": 1.0},
    }


def test_a_link_is_a_text_where_it_is_unknown() -> None:
    link = ResourceLink("demo://c", "c", title="The C", icons=[{"src": "https://e.org/i.png"}])
    assert link.render(R2) == {"type": "text", "text": "The C: demo://c"}
    assert link.render(R3) == {"type": "resource_link", "uri": "demo://c", "name": "c", "title": "The C"}
    assert link.render(R4)["icons"] == [{"src": "https://e.org/i.png"}]
    assert ResourceLink("demo://c", "c").render(R1)["text"] == "c: demo://c"


def test_contents_of_a_resource() -> None:
    assert content.contents("a:b", "text", None) == {"uri": "a:b", "mimeType": "text/plain", "text": "text"}
    assert content.contents("a:b", b"\0", None) == {
        "uri": "a:b",
        "mimeType": "application/octet-stream",
        "blob": "AA==",
    }
    assert content.contents("a:b", {"x": 1}, None) == {"uri": "a:b", "mimeType": "application/json", "text": '{"x":1}'}
    assert content.contents("a:b", [1], "x/y") == {"uri": "a:b", "mimeType": "x/y", "text": "[1]"}
    assert EmbeddedResource("a:b", "t", contents_meta={"m": 1}).render(R5) == {
        "type": "resource",
        "resource": {"uri": "a:b", "mimeType": "text/plain", "text": "t", "_meta": {"m": 1}},
    }


def test_what_becomes_which_blocks() -> None:
    text = {"type": "text", "text": "a"}
    assert content.blocks(None, R5) == []
    assert content.blocks("a", R5) == [text]
    assert content.blocks(["a", Text("a"), {"n": 1}], R5) == [text, text, {"type": "text", "text": '{"n":1}'}]
    assert content.blocks(("a", "b"), R5) == [{"type": "text", "text": '["a","b"]'}]
    assert content.blocks([], R5) == [{"type": "text", "text": "[]"}]
    for value in (b"a", bytearray(b"a"), [Text("a"), b"a"]):
        with pytest.raises(TypeError, match="Image, Audio or EmbeddedResource"):
            content.blocks(value, R5)


def test_a_message_is_the_users_unless_told() -> None:
    assert Message("a").render(R5) == {"role": "user", "content": {"type": "text", "text": "a"}}
    assert Message(Audio(b""), "assistant").render(R1)["content"]["type"] == "resource"
    assert Message(Audio(b""), "assistant").render(R1)["role"] == "assistant"
