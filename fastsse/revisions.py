"""One row per protocol revision: what a server may send, must take, and how it says it.

Nothing else in the house compares revision strings: a rule reads a field of its request's row. Sources:
the five specifications and their schemas; the rows are listed in the requirements manifest.
"""

from __future__ import annotations

from typing import Final


class Revision:
    """What differs between revisions. Immutable; there is exactly one object per revision."""

    __slots__ = (
        "array_sampling",
        "audio",
        "batches",
        "completions_capability",
        "elicitation",
        "elicitation_id",
        "elicitation_url",
        "extended_enums",
        "icons",
        "index",
        "message_in_progress",
        "modern",
        "name",
        "priming",
        "resource_link",
        "structured",
        "structured_any",
        "titles",
        "tool_annotations",
        "wire",
    )

    def __init__(self, index: int, name: str) -> None:
        self.index = index
        self.name = name
        self.wire = name.encode()  # as it stands in MCP-Protocol-Version
        march, june, november, modern = index >= 1, index >= 2, index >= 3, index >= 4
        self.batches = name == "2025-03-26"  # JSON arrays, both removed before and after
        self.audio = march
        self.tool_annotations = march
        self.completions_capability = march
        self.message_in_progress = march  # `message` in notifications/progress
        self.titles = june
        self.resource_link = june
        self.structured = june  # outputSchema and structuredContent (an object)
        self.elicitation = june
        self.icons = november
        self.priming = november and not modern  # an event with an id and no data opens a resumable stream
        self.elicitation_url = november
        self.elicitation_id = november and not modern
        self.extended_enums = november
        self.array_sampling = november  # sampling content may be a list; tools in sampling
        self.structured_any = modern  # structuredContent of any JSON type
        self.modern = modern

    def __repr__(self) -> str:
        return f"<Revision {self.name}>"


R1: Final = Revision(0, "2024-11-05")
R2: Final = Revision(1, "2025-03-26")
R3: Final = Revision(2, "2025-06-18")
R4: Final = Revision(3, "2025-11-25")
R5: Final = Revision(4, "2026-07-28")

REVISIONS: Final = {row.name: row for row in (R1, R2, R3, R4, R5)}
HANDSHAKE: Final = {row.name: row for row in (R1, R2, R3, R4)}
MODERN: Final = {row.name: row for row in (R5,)}
NEWEST_HANDSHAKE: Final = R4
WITHOUT_HEADER: Final = R2
"""What a request without version header and session is served as (2025-06-18 and later, basic/transports)."""
