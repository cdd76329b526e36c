"""The two guides that the project grew from, read at test time: guide N (Node) and guide C (Crystal).

They lie beside the checkout (FASTSSE_GUIDES names another folder); no text of theirs is in this repository, so blocks
are found by their language and their order. Where there are none, only our re-enactments run; CI has them, and there
their absence is a failure: what asks for a block says so.
"""

import os
import re
from pathlib import Path

from serving import ROOT

FOLDER = Path(os.environ.get("FASTSSE_GUIDES") or ROOT.parent / "shared" / "seeds")
WANTED = FOLDER.is_dir() or os.environ.get("CI") == "true"
MARKS = {"node": "python", "crystal": "crystal"}
"""Guide to a language that only it speaks."""


def blocks(guide: str, language: str) -> list[str]:
    """The fenced blocks of one language, in their order."""
    assert FOLDER.is_dir(), f"the guides are not in {FOLDER}: set FASTSSE_GUIDES"
    texts = [path.read_text("utf-8") for path in sorted(FOLDER.iterdir()) if path.is_file()]
    (text,) = (text for text in texts if f"```{MARKS[guide]}\n" in text)
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def curls(guide: str) -> list[str]:
    """The curl commands, each as one shell command."""
    chunks = [chunk for block in blocks(guide, "bash") for chunk in re.split(r"^(?:#.*)?\n", block, flags=re.MULTILINE)]
    return [chunk.strip() for chunk in chunks if chunk.startswith("curl ")]
