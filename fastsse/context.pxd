cimport cython

from fastsse cimport _framing, jsonrpc
from fastsse.decision cimport Call
from fastsse.handler cimport Request

cdef double LOWEST

cdef class Context:
    cdef public Request request
    cdef public Call _call
    cdef public object _line, _host, _task, _stop, _answered, _budget
    cdef public bytes _body
    cdef public double _started, _progress, _progressed_at
    cdef public bint _ended, _cancelled

@cython.locals(context=Context)
cpdef Context new_context(Call call, object line, object host, double started)
