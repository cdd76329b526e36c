from fastsse._framing cimport Head

from fastsse.session cimport Session
from fastsse.revisions cimport Revision

cdef class Request:
    cdef public bytes id
    cdef public object _params, arguments
    cdef public str method, name
    cdef public object answers, capabilities, meta, principal
    cdef public Revision revision
    cdef public Session session
    cdef public Head head

cdef class Result:
    cdef public bytes body
    cdef public object meta
    cdef public bint failed

cdef class Plan:
    cdef public object encode, failed, limit, timeout
    cdef public int kind
    cdef public str label

cdef class Work:
    cdef public Plan plan
    cdef public object call
