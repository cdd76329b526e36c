from fastsse cimport _framing, jsonrpc
from fastsse._framing cimport Head, Message
from fastsse.decision cimport Era
from fastsse.handler cimport Request, Result, new_request
from fastsse.session cimport Session

from fastsse.revisions cimport Revision

cdef str TOOLS_CALL

cdef class Handshake(Era):
    cdef public object config, catalog
    cdef public dict lists, own
    cdef public long long epoch

    cpdef request(self, Message message, Session session, Revision revision, Head head)
    cpdef bytes reply(self, Request request, object answer)

