"""The fixed table: `shards × slots`, made at start; nothing in it grows afterwards.

A shard is the unit of work per tick: it holds sessions by slot, every connection (with or without a
session), and the audience of events for everybody. A session id is a UUID (RFC 9562 version 8) whose first
32 bits name shard and slot, so that any process can route it without a look-up, and which carries 90 random
bits; ids are compared in constant time. When the table is full, a session gives way that was opened and never used;
if there is none, the one that has been without a stream for longest and is not in use. Called by the rules (open, find,
end) and by the server's tick (sweep).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from fastsse import _framing
from fastsse.errors import CloseReason, RequestRefused
from fastsse.principal import Principal
from fastsse.session import Clocks, Session
from fastsse.stream import Event, RingLimits

SLOT_BITS = 20
SLOT_MASK = (1 << SLOT_BITS) - 1

LOOKED_AT = 256
"""Sessions in use that are passed over in a full table until a newcomer is refused: a tenth of a millisecond."""


class Member(Protocol):
    """A connection: does what its clock says when `deadline` has passed."""

    deadline: float

    @property
    def weight(self) -> int:
        """Bytes that are held for its peer."""
        ...

    def tick(self, now: float) -> None: ...

    def give_way(self, refused: RequestRefused) -> None:
        """Lets go of what is held, and refuses a request that is still arriving."""
        ...


class Audience(Protocol):
    """Somebody who may receive events for everybody: a session, a listener, a plain event stream."""

    def offer(self, event: Event) -> None: ...


class Shard:
    """One part of the table."""

    __slots__ = ("audience", "index", "members", "slots")

    def __init__(self, index: int, slots: int) -> None:
        self.index = index
        self.slots: list[Session | None] = [None] * slots
        self.members: set[Member] = set()
        self.audience: set[Audience] = set()


class Table:
    """All shards. `nonce()` gives 90 random bits; `capacity` bounds the sessions."""

    def __init__(self, shards: int, capacity: int, clocks: Clocks, ring: RingLimits, nonce: Callable[[], int]) -> None:
        per_shard = -(-capacity // shards)
        self.shards = tuple(Shard(index, per_shard) for index in range(shards))
        self.capacity = capacity
        self.clocks = clocks
        self.ring = ring
        self.nonce = nonce
        self.count = 0
        self.opened = 0
        self.ended: dict[CloseReason, int] = {}
        # Taken from the end: the first sessions go to different shards.
        self.free = [
            shard << SLOT_BITS | slot for slot in reversed(range(per_shard)) for shard in reversed(range(shards))
        ]
        self.fresh: OrderedDict[Session, None] = OrderedDict()  # opened on /mcp, and not used yet; oldest first
        self.detached: OrderedDict[Session, None] = OrderedDict()  # used, without a stream; the longest first
        self.turn = 0
        self.swept = 0.0  # when a shard was, last

    # --- sessions

    def open(self, pair: bool, now: float) -> Session | None:
        """A new session, or None when the table is full of sessions that are in use."""
        if self.count >= self.capacity and not self._make_room(now):
            return None
        place = self.free.pop()
        session = Session(self, self._id(place), place, pair, self.clocks, self.ring, now)
        shard = self.shards[place >> SLOT_BITS]
        shard.slots[place & SLOT_MASK] = session
        shard.audience.add(session)
        if not pair:
            self.fresh[session] = None
        self.count += 1
        self.opened += 1
        return session

    def _make_room(self, now: float) -> bool:
        oldest = next(iter(self.fresh), None)
        if oldest is None or not oldest.yields(now):
            for _ in range(min(len(self.detached), LOOKED_AT)):
                oldest = next(iter(self.detached))
                if oldest.yields(now):
                    break
                self.detached.move_to_end(oldest)
            else:
                return False
        self.end(oldest, CloseReason.REPLACED)
        return True

    def _id(self, place: int) -> bytes:
        random = self.nonce() & ((1 << 90) - 1)
        text = b"%08x%04x8%03x%04x%012x" % (
            place,
            random >> 74,
            random >> 62 & 0xFFF,
            0x8000 | (random >> 48 & 0x3FFF),
            random & 0xFFFFFFFFFFFF,
        )
        return b"-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def find(self, id: bytes, principal: Principal | None) -> Session | None:
        """The live session with this id, if it belongs to who asks: to others it does not exist."""
        place = _framing.place(id)
        number = place >> SLOT_BITS
        if place < 0 or number >= len(self.shards):
            return None
        shard = self.shards[number]
        slot = place & SLOT_MASK
        if slot >= len(shard.slots):
            return None
        session = shard.slots[slot]
        if session is None or not _framing.equal(session.id, id):
            return None
        if session.principal is not principal and not session.admits(principal):
            return None
        return session

    def end(self, session: Session, reason: CloseReason) -> None:
        """Ends a session and frees its place; its id answers 404 for ever (a new one gets new random bits)."""
        shard = self.shards[session.place >> SLOT_BITS]
        slot = session.place & SLOT_MASK
        if shard.slots[slot] is not session:
            return
        shard.slots[slot] = None
        shard.audience.discard(session)
        self.found(session)
        self.free.append(session.place)
        self.count -= 1
        self.ended[reason] = self.ended.get(reason, 0) + 1
        lasted = max(self.swept, session.touched) - session.created
        self.ring.budget.stats.sessions_lasted[session.revision.name].observe(lasted)
        session.end(reason)

    def used(self, session: Session) -> None:
        """The first message of the session was accepted."""
        if session in self.fresh:
            self.lost(session)

    def lost(self, session: Session) -> None:
        """The session has no stream, or none any more."""
        self.found(session)
        self.detached[session] = None

    def found(self, session: Session) -> None:
        """It has one."""
        self.fresh.pop(session, None)
        self.detached.pop(session, None)

    def ids(self) -> list[bytes]:
        """The ids of all live sessions, in the order of their places."""
        return [session.id for shard in self.shards for session in shard.slots if session is not None]

    def states(self) -> dict[str, int]:
        """How many sessions are in each state: `unused` was opened on /mcp and has not spoken since, `detached` has no
        stream of its own, `attached` has one."""
        unused, detached = len(self.fresh), len(self.detached)
        return {"attached": self.count - unused - detached, "detached": detached, "unused": unused}

    # --- connections

    def join(self, member: Member) -> Shard:
        """Registers a connection, each in the next shard."""
        shard = self.shards[self.turn]
        self.turn = (self.turn + 1) % len(self.shards)
        shard.members.add(member)
        return shard

    # --- clocks

    def sweep(self, index: int, now: float) -> None:
        """Does everything that is due in one shard."""
        self.swept = now
        shard = self.shards[index]
        for member in list(shard.members):
            if now >= member.deadline:
                member.tick(now)
        for session in shard.slots:
            if session is not None and session.sweep(now):
                self.end(session, CloseReason.IDLE)
