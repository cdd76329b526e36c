cimport cython

from fastsse cimport _framing
from fastsse.handler cimport Request
from fastsse.offer cimport Offer

cdef object _json
cdef bytes _HEAD, _TAIL
cdef str TOOLS_CALL

cdef class Tool(Offer)

cdef class Calls:
    cdef public dict tools
    cdef public object other

    @cython.locals(tool=Tool)
    cpdef handle(self, Request request)

cdef class Tool(Offer):
    cdef public object _again, _check, _decode, annotations, headers, input_schema, output_schema
    cdef public bytes _close, _open
    cdef public bint _wrapped

    cpdef _read(self, Request request)
    cpdef encode(self, object value, Request request)
