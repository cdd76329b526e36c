from fastsse cimport _framing, jsonrpc
from fastsse._framing cimport Head
from fastsse.session cimport Session

from fastsse.revisions cimport Revision

cdef class Handshake:
    cdef public object config, catalog
    cdef public dict lists, own
    cdef public long long epoch

    cpdef request(self, object message, bytes id, object params, Session session, Revision revision, Head head)
    cpdef bytes reply(self, object request, object answer)

