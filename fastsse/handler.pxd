cimport cython

from fastsse._framing cimport Head, Message

from fastsse.session cimport Session
from fastsse.revisions cimport Revision

cdef class Request:
    cdef public Message _message
    cdef public bytes id, arguments
    cdef public str method, name
    cdef public object answers, capabilities, client, meta, principal
    cdef public Revision revision
    cdef public Session session
    cdef public Head head

@cython.locals(request=Request)
cpdef Request new_request(Message message, str name, Revision revision, Session session, Head head)

cdef class Notification:
    cdef public object client
    cdef public str method
    cdef public bytes params
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
    cdef public object call, arguments

    cpdef run(self, object context)

@cython.locals(work=Work)
cpdef Work new_work(Plan plan, object call, object arguments)
