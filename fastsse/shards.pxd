from fastsse cimport _framing
cimport cython

from fastsse.session cimport Clocks, Session
from fastsse.stream cimport RingLimits

cdef long long SLOT_BITS, SLOT_MASK

cdef class Shard:
    cdef public int index
    cdef public list slots
    cdef public set members, audience

cdef class Table:
    cdef public tuple shards
    cdef public Py_ssize_t capacity, count, turn
    cdef public long long opened
    cdef public double swept
    cdef public Clocks clocks
    cdef public RingLimits ring
    cdef public object nonce
    cdef public dict ended
    cdef public object fresh, detached
    cdef public list free

    @cython.locals(place=cython.longlong, number=cython.longlong, slot=cython.longlong, shard=Shard, session=Session)
    cpdef Session find(self, bytes id, object principal)
    cpdef Shard join(self, object member)
