from fastsse cimport _framing, jsonrpc
cimport cython

from fastsse._framing cimport Head, Message
from fastsse.decision cimport Accepts, Reply
from fastsse.handshake cimport Handshake
from fastsse.httpsse cimport HttpSse
from fastsse.jsonrpc cimport Meta
from fastsse.security cimport Guard
from fastsse.shards cimport Table
from fastsse.stateless cimport Stateless
from fastsse.stats cimport Stats
from fastsse.streamable cimport Streamable

# Since 3.12 a look-up of a module's global has no short cut.
cdef int MCP, MESSAGE
cdef bytes PATH, MESSAGE_PATH
cdef bytes MODERN_NAME
cdef str NAME, TOOLS_CALL

cdef class Endpoint:
    cdef public object config, auth, catalog, gauges, admission, gate, proxies, visitor
    cdef public Table table
    cdef public Stats stats
    cdef public Guard guard
    cdef public Py_ssize_t max_body, max_depth
    cdef public str public, scheme
    cdef public bytes prefix
    cdef public Handshake rules
    cdef public HttpSse httpsse
    cdef public Streamable streamable
    cdef public Stateless stateless
    cdef public dict _accepts, _names, _resources, _routes
    cdef public bytes _accept
    cdef public Accepts _reads

    cpdef head(self, Head head, object peer, double now)
    cpdef _check_body(self, Head head)
    @cython.locals(reads=Accepts, message=Message)
    cpdef body(self, Head head, bytes body, object peer, double now)
    @cython.locals(meta=Meta)
    cpdef bint _is_modern(self, Head head, Message message)
    cpdef _message(self, Head head, bytes body, object peer, double now)
    cpdef bytes extra(self, Head head)
    cpdef str route(self, Head head)
    cpdef _where(self, bytes path)

cpdef bint _modern(bytes version)
