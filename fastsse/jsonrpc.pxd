from fastsse cimport _framing
from fastsse._framing cimport Message

cdef dict _metas

cdef class Meta:
    cdef public bytes progress_token, version
    cdef public dict capabilities
    cdef public object log_level, traceparent, tracestate, baggage

cpdef Message decode(object body)
cpdef Message careful(object body)
cpdef bytes read_id(object raw)
