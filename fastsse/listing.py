"""Pages of what is offered, encoded once per revision; and the cursors between them.

Kept by `App` as long as nothing changes. A cursor names the last entry of the page before it: that stays true when the
list changes between two pages, in another process with the same registrations too, and there is nothing to remember.
Refuses (InvalidParams) every cursor that no page of the same list ever held. MCP server/utilities/pagination.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final

from fastsse import jsonrpc
from fastsse.errors import InvalidParams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastsse.offer import Offer
    from fastsse.revisions import Revision

MEMBERS: Final = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
"""List method to the member of its result."""


class Pages:
    """The pages of one state of what is offered. `offers(method)`: the entries of a list by growing sequence."""

    __slots__ = ("_found", "_offers", "_size")

    def __init__(self, offers: Callable[[str], Iterable[Offer]], size: int) -> None:
        self._offers = offers
        self._size = size
        self._found: dict[tuple[str, int, int], bytes] = {}

    def page(self, method: str, cursor: str | None, revision: Revision) -> bytes:
        """One encoded page. Raises InvalidParams for a bad cursor."""
        after = 0 if not cursor else read_cursor(method, cursor)  # some clients begin with ""
        key = (method, after, revision.index)
        page = self._found.get(key)
        if page is None:
            offers = list(self._offers(method))
            page = self._encode(method, offers, after, revision)
            if after == 0 or any(offer.sequence == after for offer in offers):
                self._found[key] = page  # never more pages than entries, whatever numbers a client makes up
        return page

    def _encode(self, method: str, offers: list[Offer], after: int, revision: Revision) -> bytes:
        rest = [offer for offer in offers if offer.sequence > after]
        page = rest[: self._size]
        found: dict[str, Any] = {MEMBERS[method]: [offer.entry(revision) for offer in page]}
        if len(rest) > len(page):
            found["nextCursor"] = write_cursor(method, page[-1].sequence)
        return jsonrpc.encode(found)


def write_cursor(method: str, sequence: int) -> str:
    """The cursor behind the entry `sequence`."""
    return urlsafe_b64encode(f"{method}:{sequence}".encode()).decode()


def read_cursor(method: str, cursor: str) -> int:
    """The entry that a cursor of this list stands behind. Raises InvalidParams."""
    try:
        told, _, number = urlsafe_b64decode(cursor.encode()).decode().rpartition(":")
        sequence = int(number)
    except ValueError:
        told, sequence = "", 0
    if told != method or sequence < 1 or write_cursor(method, sequence) != cursor:
        raise InvalidParams("Invalid cursor: it must be the nextCursor of an earlier page of the same list")
    return sequence
