"""Bytes that leave, and heads that arrive: everything that runs per request or per event and depends on its arguments alone.

Keeps nothing. Takes and returns exact `bytes`, one allocation per result. Refuses with ValueError what would break the framing of an
event (CR, LF or NUL in a name or an id, CR or LF in a comment), and with TypeError whatever is not exactly `bytes`.
JSON comes in encoded and is spliced, never parsed. Called from `stream`, `writebuffer`, `jsonrpc`, `http11` and `connection`.
Serves WHATWG HTML §9.2 (event streams), RFC 9112 §7.1 (chunks), JSON-RPC 2.0 §4–5. Readable twins: `tests/oracle.py`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy

LAST_CHUNK = b"0\r\n\r\n"


cdef inline char* put(char* to, const char* text, Py_ssize_t size) noexcept:
    memcpy(to, text, size)
    return to + size


# --- JSON-RPC envelopes


cpdef bytes result(bytes id, bytes value):
    """`{"jsonrpc":"2.0","id":<id>,"result":<result>}`; both arguments are encoded JSON."""
    cdef Py_ssize_t id_size = len(id), size = len(value)
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, 22 + id_size + 10 + size + 1)
    cdef char* to = PyBytes_AS_STRING(whole)
    to = put(to, b'{"jsonrpc":"2.0","id":', 22)
    to = put(to, PyBytes_AS_STRING(id), id_size)
    to = put(to, b',"result":', 10)
    to = put(to, PyBytes_AS_STRING(value), size)
    to[0] = b"}"
    return whole
