from fastsse cimport _framing, jsonrpc
from fastsse._framing cimport Head, Message
from fastsse.decision cimport Accepts, Call, Reply, new_call
from fastsse.handshake cimport Handshake
from fastsse.session cimport Session
from fastsse.shards cimport Table

from fastsse.revisions cimport Revision

cdef str TOOLS_CALL

cdef class Streamable:
    cdef public object config
    cdef public Table table
    cdef public Handshake rules

    cpdef Session session(self, Head head)
    cpdef Revision revision(self, Head head, Session session)
    cpdef post(self, Head head, Message message, Accepts accepts, double now)
