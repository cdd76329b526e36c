from fastsse cimport _framing, jsonrpc
from fastsse._framing cimport Head
from fastsse.decision cimport Accepts
from fastsse.handler cimport Request

cdef class Stateless:
    cdef public object config, catalog, wall, check_room
    cdef public bytes key, tail, cache, no_cache
    cdef public dict server_info, lists
    cdef public long long epoch

    cpdef post(self, Head head, object message, object params, object meta, Accepts accepts, double now)
    cpdef _envelope(self, Head head, str method, object meta)
    cpdef _request(self, Head head, object message, bytes id, object params, object meta, Accepts accepts)
    cpdef _name_header(self, Head head, str name)
    cpdef _log_level(self, object meta)
    cpdef bytes reply(self, Request request, object answer)

cpdef bytes decoded(bytes value)
