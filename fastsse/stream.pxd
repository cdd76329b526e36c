cimport cython

from fastsse cimport _framing
from fastsse.budget cimport Budget
from fastsse.writebuffer cimport WriteBuffer

cdef class RingLimits:
    cdef public Py_ssize_t bytes, events
    cdef public double age
    cdef public Budget budget

cdef class Event:
    cdef public str method
    cdef public object uri, key
    cdef public bytes message, frame
    cdef public int kind

cdef class EventStream:
    cdef public bytes prefix
    cdef public RingLimits limits
    cdef public object owner
    cdef public list ring
    cdef public long long seq, delivered, pushed, mark_seq
    cdef public Py_ssize_t first, ring_bytes
    cdef public double mark_time
    cdef public WriteBuffer buffer
    cdef public bint ended

    cpdef bint full(self)
    cpdef _settle(self)
    cpdef send(self, bytes frame, int kind=*, object key=*)
    cpdef prime(self, int retry_ms)
    @cython.locals(budget=Budget, limits=RingLimits)
    cpdef _keep(self, bytes frame, int kind)
    cpdef _trim(self, Py_ssize_t most)
    cpdef bint _evict_oldest(self, list ring)
    @cython.locals(budget=Budget)
    cpdef _evict(self, list ring, bytes frame)
    cpdef list kept(self)
    cpdef sweep(self, double now)
    cpdef long long _oldest(self)
    cpdef bint holds(self, object after)
    cpdef attach(self, WriteBuffer buffer, object after=*)
    cpdef detach(self, WriteBuffer buffer, double now)
    cpdef pause(self, int retry_ms)
    cpdef end(self, object reason=*)
