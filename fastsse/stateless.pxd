from fastsse cimport _framing, jsonrpc
cimport cython

from fastsse._framing cimport Head, Message
from fastsse.decision cimport Accepts, Call, Era, new_call
from fastsse.handler cimport Request, Result, new_request
from fastsse.revisions cimport Revision
from fastsse.jsonrpc cimport Meta

cdef bytes CALLS, COMPLETE_MORE
cdef str TOOLS_CALL

cdef class Stateless(Era):
    cdef public object config, catalog, wall, check_room
    cdef public bytes key, tail, cache, no_cache
    cdef public dict server_info, lists
    cdef public set plain
    cdef public long long epoch

    cpdef post(self, Head head, Message message, Accepts accepts, double now)
    @cython.locals(meta=Meta)
    cpdef _envelope(self, Head head, Message message)
    @cython.locals(meta=Meta)
    cpdef _request(self, Head head, Message message, bytes id, Accepts accepts)
    cpdef set _plain_tools(self)
    @cython.locals(meta=Meta, request=Request)
    cpdef Call _call(self, Head head, Message message, str name, Accepts accepts)
    cpdef _name_header(self, Head head, str name)
    cpdef bytes reply(self, Request request, object answer)

cpdef bytes decoded(bytes value)
