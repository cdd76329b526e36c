cpdef bytes event(bytes data, bytes name=*, bytes id=*, long long retry=*)
cpdef bytes numbered(bytes prefix, long long number, bytes event)
cpdef bytes comment(bytes text=*)
cpdef bytes chunk(list frames)
cpdef bytes join(list frames)
cpdef double seconds(object clock) except? -1
cpdef Py_ssize_t references(object value)
cpdef object called(object function, tuple arguments, dict named)
cpdef bytes between(bytes head, bytes body, bytes tail)
cpdef bytes result(bytes id, bytes value)
cpdef bytes wrapped_result(bytes id, bytes opening, bytes value, bytes closing)
cpdef bytes error(bytes id, bytes value)
cpdef bytes notification(bytes method, bytes params=*)
cpdef bytes request(bytes id, bytes method, bytes params=*)
cpdef bytes tag(bytes notification, bytes meta)
cpdef bytes response(bytes head, bytes body)
cpdef bytes result_response(bytes head, bytes id, bytes result)
cpdef bytes result_event(bytes id, bytes result, bytes name, bytes event_id=*)
cpdef long long place(bytes session_id)
cpdef bint equal(bytes a, bytes b)
cpdef bytes part(bytes data, Py_ssize_t start, Py_ssize_t end)
cpdef bytes text(object piece)

cdef class Waiting:
    cdef readonly object coroutine, future

cpdef enter(object variables)
cpdef leave(object variables)
cpdef first_step(object coroutine)

cdef class Head:
    cdef readonly bytes method, target, path, query
    cdef readonly bytes host, origin, content_type, accept, session_id, protocol_version
    cdef readonly bytes mcp_method, mcp_name, last_event_id, authorization
    cdef readonly long long content_length
    cdef readonly Py_ssize_t size
    cdef readonly int minor
    cdef readonly bint keep_alive, expect_continue
    cdef public object principal
    cdef bint _maybe_repeated
    cdef bytes _data
    cdef Py_ssize_t _begin, _start, _end, _length_at, _length_size
    cdef list _fields

    cpdef list all(self, bytes name)
    cpdef bytes get(self, bytes name)

cpdef Head scan(bytes data, Py_ssize_t start=*)
cpdef Head again(Head last, bytes data, Py_ssize_t start=*)

cdef class Message:
    cdef readonly bytes id, arguments, input_responses, result, error
    cdef readonly str method, name, uri, cursor, request_state
    cdef readonly object wrong
    cdef public object meta
    cdef bytes _params, _body
    cdef Py_ssize_t _start, _end

cpdef Py_ssize_t depth(bytes body)
cpdef Message scan_call(bytes body)
