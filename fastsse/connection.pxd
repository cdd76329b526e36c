cimport cython

from fastsse._framing cimport Head
from fastsse.budget cimport Budget
from fastsse.decision cimport Batch, Call, Listen, Reply
from fastsse.dispatch cimport Dispatch
from fastsse.endpoint cimport Endpoint
from fastsse.http11 cimport Requests
from fastsse.responses cimport Heads
from fastsse.shards cimport Shard, Table
from fastsse.stats cimport Stats
from fastsse.stream cimport EventStream
from fastsse.writebuffer cimport Outlet, WriteBuffer
from fastsse cimport _framing

# Constants of the room: since 3.12 a look-up of a module's global has no short cut.
cdef int HEAD, BODY, CALLING, STREAMING, CLOSING, CLOSED, GO_ON, LAST, GO_ON_10, AT_ONCE, JOINED, PAGE
cdef bytes EVENTS, JSON
cdef double NEVER

cdef class Connection(Outlet)

cdef class Home:
    cdef public list _dirty
    cdef public double body_timeout, head_timeout, keep_alive, ping, sse_after
    cdef public bint draining, plain, serving
    cdef public int departures
    cdef public object around, authenticator, clock, config
    cdef public Dispatch dispatch
    cdef public Endpoint endpoint
    cdef public Heads heads
    cdef public Stats stats
    cdef public Table table
    cdef public Budget budget

    @cython.locals(dirty=list, at=double, connection=Connection)
    cpdef flush(self, object now=*)
    cpdef wake(self, Connection connection)
    cpdef settle(self, double now)

cdef class Connection(Outlet):
    cdef public Home home
    cdef public object transport, asking, call, departure, ending, waiter
    cdef public str era
    cdef public Shard shard
    cdef public Requests requests
    cdef public int phase, persistence
    cdef public double deadline, made, opened, since, written
    cdef public long long served, events
    cdef public bint local, paused, dirty, held
    cdef public Py_ssize_t stalled, charged
    cdef public bytes out
    cdef public Head head
    cdef public EventStream stream
    cdef public WriteBuffer buffer
    cdef public Listen listen

    @cython.locals(home=Home)
    cpdef _advance(self, double now)
    @cython.locals(out=bytes)
    cpdef _serve(self, double now)
    cpdef bint _step(self, double now)
    cpdef _perform(self, object decision, double now)
    cpdef _reply(self, Reply reply, double now)
    cpdef _answered(self, double now)
    cpdef _run(self, Call call, double now)
    cpdef _finish_call(self, Call call, bytes body, double now)
    cpdef bytes _frame(self, list frames)
    cpdef _write(self, bytes data)
    cpdef _weigh(self)
    cpdef _weigh_large(self)
    @cython.locals(budget=Budget)
    cpdef _charge(self, Py_ssize_t held)
    cpdef flush(self, double now)
