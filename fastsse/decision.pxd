cimport cython

from fastsse.handler cimport Request
from fastsse.stream cimport EventStream

cdef class Reply:
    cdef public int status
    cdef public bytes body, type, extra, dated, whole
    cdef public bint close, constant, failed
    cdef public object reason

cdef class Era:
    cdef public str name
    cdef public bint modern
    cdef public dict era_status

    cpdef bytes reply(self, Request request, object answer)

cdef class Call:
    cdef public Request request
    cdef public Era era
    cdef public bint sse, sse_first, failed
    cdef public EventStream stream
    cdef public Reply accepted
    cdef public bytes extra
    cdef public int status

@cython.locals(call=Call)
cpdef Call new_call(Request request, Era era, bint sse, bint sse_first=*, EventStream stream=*, Reply accepted=*)

cdef class Batch:
    cdef public list replies, calls

cdef class Listen:
    cdef public object after, audience, heartbeat, principal, session
    cdef public str era
    cdef public bytes extra
    cdef public list opening
    cdef public EventStream stream

cdef class Accepts:
    cdef public bint sse, sse_first
