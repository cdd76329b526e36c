cimport cython

from fastsse cimport _framing, jsonrpc
from fastsse._framing cimport Head, Message
from fastsse.decision cimport Call, new_call
from fastsse.handshake cimport Handshake
from fastsse.session cimport Session
from fastsse.shards cimport Table
from fastsse.stream cimport EventStream

cdef str TOOLS_CALL

cdef class HttpSse:
    cdef public object config
    cdef public Table table
    cdef public Handshake rules
    cdef public bytes endpoint

    @cython.locals(query=bytes, session=Session)
    cpdef Session find(self, Head head)
    @cython.locals(stream=EventStream)
    cpdef post(self, Head head, Session session, Message message, double now)
