cimport cython

from fastsse cimport _framing
from fastsse.decision cimport Call
from fastsse.handler cimport Request, Work
from fastsse.stats cimport Calls, Stats

cdef class Dispatch:
    cdef public object handle, loop, pool, now, thread, lifespan
    cdef public Stats stats
    cdef public double ask_timeout, progress_gap
    cdef public int retry_ms, late
    cdef public set running
    cdef public dict _limits, _fast

    @cython.locals(ended=double, request=Request)
    cpdef run(self, Call call, object line, double now)
    cpdef deliver(self, Call call, bytes body)
