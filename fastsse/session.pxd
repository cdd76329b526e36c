from fastsse cimport _framing
from fastsse.revisions cimport Revision
from fastsse.stream cimport Event, EventStream, RingLimits

cdef class Clocks:
    cdef public double idle, init, lost, stream_lost

cdef class Session:
    cdef public object table, capabilities, principal, undeclared, kept
    cdef public Revision revision
    cdef public bytes id
    cdef public long long place, next_ask, next_stream
    cdef public bint pair, ready
    cdef public Clocks clocks
    cdef public RingLimits ring
    cdef public double created, touched, lost_at
    cdef public int state, log_level
    cdef public set subscriptions
    cdef public dict calls, asked, streams
    cdef public EventStream stream

    cpdef accept(self, double now)
    cpdef double expires(self)
    cpdef bint sweep(self, double now)
    cpdef offer(self, Event event)
