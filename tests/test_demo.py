"""The app that is served without an argument."""

from __future__ import annotations

from calling import Speaker, call, listed, make, run
from fastsse import demo
from fastsse.revisions import R5


def test_the_demo_says_the_time_in_every_zone() -> None:
    assert call(demo.app, "current_time")["content"][0]["text"].endswith("+00:00")
    assert call(demo.app, "current_time", timezone="Asia/Kolkata")["content"][0]["text"].endswith("+05:30")
    for zone in ("Mars/Olympus", "", "..", "/etc/passwd", "Europe", "a\0b", "x" * 5000, "\ud800"):
        result = call(demo.app, "current_time", timezone=zone)
        assert result["isError"] is True, zone
        assert "Unknown time zone" in result["content"][0]["text"] or zone == "\ud800"


def test_the_demo_echoes_and_adds_at_once() -> None:
    assert isinstance(demo.app.handle(make("tools/call", "echo", {"text": "a"})), bytes)
    assert call(demo.app, "echo", text="ä")["content"] == [{"type": "text", "text": "ä"}]
    assert isinstance(demo.app.handle(make("tools/call", "add", {"a": 1, "b": 2})), bytes)
    assert call(demo.app, "add", a=2, b=0.5)["structuredContent"] == {"result": 2.5}


def test_the_demo_counts_down_with_progress() -> None:
    speaker = Speaker()
    result = call(demo.app, "countdown", R5, speaker, steps=3, delay=0)
    assert result["content"][0]["text"] == "Counted down from 3"
    assert speaker.said == [("Counting down from 3",), *((n, 3, f"Step {n} of 3") for n in (1, 2, 3))]
    assert call(demo.app, "countdown", R5, speaker, steps=10**9)["isError"] is True


def test_the_demo_has_one_of_everything() -> None:
    assert run(demo.app, make("resources/read", "demo://greeting"))["contents"][0]["text"].startswith("Hello")
    assert "Ada" in run(demo.app, make("resources/read", "demo://greeting/Ada"))["contents"][0]["text"]
    assert "Ada" in run(demo.app, make("prompts/get", "greet", {"name": "Ada"}))["messages"][0]["content"]["text"]
    assert all(tool["description"] for tool in listed(demo.app, "tools/list"))
