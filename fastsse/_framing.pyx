"""Bytes that leave, and heads that arrive: everything that runs per request or per event and depends on its arguments alone.

Keeps nothing. Takes and returns exact `bytes`, one allocation per result. Refuses with ValueError what would break the framing of an
event (CR, LF or NUL in a name or an id, CR or LF in a comment), and with TypeError whatever is not exactly `bytes`.
JSON is cut and spliced; what it means is not asked here. Called from `stream`, `writebuffer`, `jsonrpc`, `http11` and `connection`.
Serves WHATWG HTML §9.2 (event streams), RFC 9112 §7.1 (chunks), JSON-RPC 2.0 §4–5. Readable twins: `tests/oracle.py`.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyObject_Call
from cpython.ref cimport Py_DECREF
from cpython.time cimport monotonic
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, strlen

import time

LAST_CHUNK = b"0\r\n\r\n"

# As C literals their lengths are constants to the C compiler.
cdef extern from *:
    r"""
    #define JSON_OPEN "{\"jsonrpc\":\"2.0\""
    #define JSON_RESULT ",\"result\":"
    #define JSON_ERROR ",\"error\":"
    #define JSON_ID ",\"id\":"
    #define JSON_METHOD ",\"method\":"
    #define JSON_PARAMS ",\"params\":"
    #define JSON_META "\"_meta\":"
    """
    const char* JSON_OPEN
    const char* JSON_ID
    const char* JSON_RESULT
    const char* JSON_ERROR
    const char* JSON_METHOD
    const char* JSON_PARAMS
    const char* JSON_META


cdef inline char* put(char* to, const char* text, Py_ssize_t size) noexcept:
    memcpy(to, text, size)
    return to + size


cdef inline char* put_text(char* to, const char* literal) noexcept:
    return put(to, literal, strlen(literal))


cdef inline char* put_bytes(char* to, bytes value) noexcept:
    return put(to, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef inline bytes room(Py_ssize_t size):
    return PyBytes_FromStringAndSize(NULL, size)


cdef inline Py_ssize_t decimal_width(unsigned long long number) noexcept:
    cdef Py_ssize_t width = 1
    while number > 9:
        number //= 10
        width += 1
    return width


cdef inline char* put_decimal(char* to, unsigned long long number, Py_ssize_t width) noexcept:
    cdef Py_ssize_t at = width
    while at > 0:
        at -= 1
        to[at] = <char>(c"0" + number % 10)
        number //= 10
    return to + width


cdef inline Py_ssize_t hex_width(size_t number) noexcept:
    cdef Py_ssize_t width = 1
    while number > 15:
        number >>= 4
        width += 1
    return width


cdef inline char* put_hex(char* to, size_t number, Py_ssize_t width) noexcept:
    cdef Py_ssize_t at = width
    while at > 0:
        at -= 1
        to[at] = b"0123456789abcdef"[number & 15]
        number >>= 4
    return to + width


# --- events


cdef inline bint has_line_break(const char* text, Py_ssize_t size) noexcept:
    return memchr(text, c"\n", size) != NULL or memchr(text, c"\r", size) != NULL


cdef inline char* put_field(char* to, const char* label, bytes value) except NULL:
    """Copy `label` and `value` as one line. ValueError: the value does not fit into one."""
    cdef const char* text = PyBytes_AS_STRING(value)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    if has_line_break(text, size) or memchr(text, 0, size) != NULL:
        raise ValueError("CR, LF or NUL in an event's name or id")
    to = put(put_text(to, label), text, size)
    to[0] = c"\n"
    return to + 1


cdef inline bytes open_event(bytes name, bytes id, long long retry, Py_ssize_t data_size, char** to):
    """Allocate an event whose data lines take `data_size` bytes, write the fields before them and point `to` at where they begin."""
    cdef Py_ssize_t name_size = len(name), id_size = len(id), size = data_size + 1, width = 0
    if name_size:
        size += 8 + name_size
    if id_size:
        size += 5 + id_size
    if retry >= 0:
        width = decimal_width(retry)
        size += 8 + width
    cdef bytes whole = room(size)
    cdef char* at = PyBytes_AS_STRING(whole)
    if name_size:
        at = put_field(at, "event: ", name)
    if id_size:
        at = put_field(at, "id: ", id)
    if retry >= 0:
        at = put_text(at, "retry: ")
        at = put_decimal(at, retry, width)
        at = put_text(at, "\n")
    to[0] = at
    return whole


cdef Py_ssize_t lines_size(const char* text, Py_ssize_t size) noexcept:
    """The bytes that `put_lines` will write."""
    cdef Py_ssize_t at, total = 6 + size + 1
    for at in range(size):
        if text[at] == c"\r" and at + 1 < size and text[at + 1] == c"\n":
            total -= 1  # CRLF is one break
        elif text[at] == c"\r" or text[at] == c"\n":
            total += 6  # the break itself was counted and becomes LF
    return total


cdef char* put_lines(char* to, const char* text, Py_ssize_t size) noexcept:
    cdef Py_ssize_t at
    to = put_text(to, "data: ")
    for at in range(size):
        if text[at] == c"\r" and at + 1 < size and text[at + 1] == c"\n":
            continue
        if text[at] == c"\r" or text[at] == c"\n":
            to = put_text(to, "\ndata: ")
        else:
            to[0] = text[at]
            to += 1
    return put_text(to, "\n")


cpdef bytes event(bytes data, bytes name=b"", bytes id=b"", long long retry=-1):
    """One event: `event`, `id` and `retry` (milliseconds) where given, then a `data` line per line of `data`, then the empty line.

    CRLF, CR and LF all end a line of data. Empty data give one empty `data` line, so that a reader dispatches the event and keeps its id.
    ValueError: CR, LF or NUL in `name` or `id`.
    """
    cdef Py_ssize_t size = len(data)
    cdef const char* text = PyBytes_AS_STRING(data)
    cdef char* to
    cdef bytes whole
    if has_line_break(text, size):
        whole = open_event(name, id, retry, lines_size(text, size), &to)
        to = put_lines(to, text, size)
    else:
        whole = open_event(name, id, retry, 6 + size + 1, &to)
        to = put_text(to, "data: ")
        to = put(to, text, size)
        to = put_text(to, "\n")
    to[0] = c"\n"
    return whole


cpdef bytes numbered(bytes prefix, long long number, bytes event):
    """The event with the id `<prefix><number>`; it must have none yet. ValueError: CR, LF or NUL in `prefix`, or number < 0."""
    if number < 0:
        raise ValueError("an event's number is not negative")
    cdef Py_ssize_t width = decimal_width(number)
    cdef bytes whole = room(4 + len(prefix) + width + 1 + len(event))
    cdef char* to = put_field(PyBytes_AS_STRING(whole), "id: ", prefix) - 1
    to = put_decimal(to, number, width)
    to[0] = c"\n"
    put_bytes(to + 1, event)
    return whole


cpdef bytes comment(bytes text=b""):
    """`: text` and an empty line, which readers skip. ValueError: CR or LF in `text`."""
    cdef Py_ssize_t size = len(text)
    if has_line_break(PyBytes_AS_STRING(text), size):
        raise ValueError("CR or LF in a comment")
    cdef bytes whole = room(2 + size + 2)
    cdef char* to = PyBytes_AS_STRING(whole)
    to = put_text(to, ": ")
    to = put_bytes(to, text)
    put_text(to, "\n\n")
    return whole


# --- frames on their way to a socket


cdef inline Py_ssize_t frames_size(list frames) except -1:
    cdef bytes frame
    cdef Py_ssize_t size = 0
    for frame in frames:
        size += len(frame)
    return size


cdef inline char* put_frames(char* to, list frames) noexcept:
    cdef object frame
    for frame in frames:
        to = put(to, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
    return to


cpdef bytes chunk(list frames):
    """All frames as one HTTP/1.1 chunk. Without a byte to send there is no chunk, b"": an empty one would end the body."""
    cdef Py_ssize_t size = frames_size(frames)
    if size == 0:
        return b""
    cdef Py_ssize_t width = hex_width(size)
    cdef bytes whole = room(width + 2 + size + 2)
    cdef char* to = PyBytes_AS_STRING(whole)
    to = put_hex(to, size, width)
    to = put_text(to, "\r\n")
    to = put_frames(to, frames)
    put_text(to, "\r\n")
    return whole


cdef object MONOTONIC = time.monotonic


cpdef double seconds(object clock) except? -1:
    """What the clock shows; time.monotonic is read without being called."""
    return monotonic() if clock is MONOTONIC else clock()


cpdef object called(object function, tuple arguments, dict named):
    """`function(*arguments, **named)`, for functions that leave `named` as it is: nothing is copied."""
    if arguments is None or named is None:
        raise TypeError("called() takes a tuple and a dict, not None")
    return PyObject_Call(function, arguments, named)


cpdef bytes between(bytes head, bytes body, bytes tail):
    """The three in a row."""
    cdef bytes whole = room(len(head) + len(body) + len(tail))
    put_bytes(put_bytes(put_bytes(PyBytes_AS_STRING(whole), head), body), tail)
    return whole


cpdef bytes join(list frames):
    """All frames in a row, for a body that ends with its connection."""
    cdef bytes whole = room(frames_size(frames))
    put_frames(PyBytes_AS_STRING(whole), frames)
    return whole


# --- coroutines


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object)
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(object, object, PyObject**) except PYGEN_ERROR


cpdef Py_ssize_t references(object value):
    """How many references to it there are, give or take those of who asks: for comparing."""
    return Py_REFCNT(value)


@cython.final
@cython.auto_pickle(False)
cdef class Waiting:
    """A coroutine that has taken its first step, and what it waits for: a future, or None for the loop's next turn."""


cpdef enter(object variables):
    """Makes this context the current one until `leave`. RuntimeError: it has been entered already."""
    PyContext_Enter(variables)


cpdef leave(object variables):
    """Undoes `enter`. RuntimeError: this context is not the current one."""
    PyContext_Exit(variables)


cpdef first_step(object coroutine):
    """Takes the coroutine's first step: its value if it was the only one, otherwise a `Waiting`."""
    cdef PyObject* given = NULL
    cdef PySendResult result = PyIter_Send(coroutine, None, &given)
    cdef object value = <object>given
    Py_DECREF(value)
    if result == PYGEN_RETURN:
        return value
    cdef Waiting waiting = Waiting.__new__(Waiting)
    waiting.coroutine = coroutine
    waiting.future = value
    return waiting


# --- JSON-RPC envelopes


cdef inline Py_ssize_t result_size(bytes id, bytes value) except -1:
    return strlen(JSON_OPEN) + strlen(JSON_ID) + len(id) + strlen(JSON_RESULT) + len(value) + 1


cdef inline char* put_result(char* to, bytes id, bytes value) noexcept:
    to = put_text(to, JSON_OPEN)
    to = put_text(to, JSON_ID)
    to = put_bytes(to, id)
    to = put_text(to, JSON_RESULT)
    to = put_bytes(to, value)
    return put_text(to, "}")


cpdef bytes result(bytes id, bytes value):
    """`{"jsonrpc":"2.0","id":<id>,"result":<value>}`"""
    cdef bytes whole = room(result_size(id, value))
    put_result(PyBytes_AS_STRING(whole), id, value)
    return whole


cpdef bytes wrapped_result(bytes id, bytes opening, bytes value, bytes closing):
    """`result(id, ...)` of the object `value` with its braces replaced: by `opening` and `closing`. ValueError: it is no object."""
    cdef Py_ssize_t inner = len(value) - 2
    cdef const char* text = PyBytes_AS_STRING(value)
    if inner < 0 or text[0] != c"{" or text[inner + 1] != c"}":
        raise ValueError("a result to wrap is an object")
    cdef bytes whole = room(result_size(id, opening) + inner + len(closing))
    cdef char* to = PyBytes_AS_STRING(whole)
    to = put_text(to, JSON_OPEN)
    to = put_text(to, JSON_ID)
    to = put_bytes(to, id)
    to = put_text(to, JSON_RESULT)
    to = put_bytes(to, opening)
    to = put(to, text + 1, inner)
    to = put_bytes(to, closing)
    put_text(to, "}")
    return whole


cpdef bytes error(bytes id, bytes value):
    """`{"jsonrpc":"2.0","id":<id>,"error":<value>}`; no `id` member when the id of what failed is not known."""
    cdef Py_ssize_t size = strlen(JSON_OPEN) + strlen(JSON_ERROR) + len(value) + 1
    if id is not None:
        size += strlen(JSON_ID) + PyBytes_GET_SIZE(id)
    cdef bytes whole = room(size)
    cdef char* to = PyBytes_AS_STRING(whole)
    to = put_text(to, JSON_OPEN)
    if id is not None:
        to = put_text(to, JSON_ID)
        to = put_bytes(to, id)
    to = put_text(to, JSON_ERROR)
    to = put_bytes(to, value)
    put_text(to, "}")
    return whole


cdef inline bytes ask(bytes id, bytes method, bytes params):
    """A request, or a notification without an id; params last, where `tag` looks for them."""
    cdef Py_ssize_t size = strlen(JSON_OPEN) + strlen(JSON_METHOD) + len(method) + 1
    if id is not None:
        size += strlen(JSON_ID) + PyBytes_GET_SIZE(id)
    if params is not None:
        size += strlen(JSON_PARAMS) + PyBytes_GET_SIZE(params)
    cdef bytes whole = room(size)
    cdef char* to = PyBytes_AS_STRING(whole)
    to = put_text(to, JSON_OPEN)
    if id is not None:
        to = put_text(to, JSON_ID)
        to = put_bytes(to, id)
    to = put_text(to, JSON_METHOD)
    to = put_bytes(to, method)
    if params is not None:
        to = put_text(to, JSON_PARAMS)
        to = put_bytes(to, params)
    put_text(to, "}")
    return whole


cpdef bytes notification(bytes method, bytes params=None):
    """`{"jsonrpc":"2.0","method":<method>,"params":<params>}`; no `params` member when None."""
    return ask(None, method, params)


cpdef bytes request(bytes id, bytes method, bytes params=None):
    """`{"jsonrpc":"2.0","id":<id>,"method":<method>,"params":<params>}`; no `params` member when None."""
    if id is None:
        raise TypeError("a request has an id")
    return ask(id, method, params)


cpdef bytes tag(bytes notification, bytes meta):
    """The notification with `"_meta":<meta>` as the last member of its params: one message, tagged for each of its subscriptions.

    The params must be the last member of the message, an object, and hold no `_meta` yet. ValueError: it does not end in `}}`.
    """
    cdef Py_ssize_t size = len(notification), keep = size - 2, last = keep - 1
    cdef const char* text = PyBytes_AS_STRING(notification)
    if keep < 0 or text[keep] != c"}" or text[keep + 1] != c"}":
        raise ValueError("a notification to tag ends in its params object")
    while last >= 0 and (text[last] == c" " or text[last] == c"\t" or text[last] == c"\n" or text[last] == c"\r"):
        last -= 1
    cdef bint first = last >= 0 and text[last] == c"{"
    cdef bytes whole = room(size + (0 if first else 1) + strlen(JSON_META) + len(meta))
    cdef char* to = PyBytes_AS_STRING(whole)
    to = put(to, text, keep)
    if not first:
        to = put_text(to, ",")
    to = put_text(to, JSON_META)
    to = put_bytes(to, meta)
    put_text(to, "}}")
    return whole


# --- answers: envelope and frame in one allocation


cdef inline char* put_length(char* to, Py_ssize_t size, Py_ssize_t width) noexcept:
    to = put_decimal(to, size, width)
    return put_text(to, "\r\n\r\n")


cpdef bytes response(bytes head, bytes body):
    """A whole HTTP response; `head` is rendered up to and including `Content-Length: `."""
    cdef Py_ssize_t size = len(body), width = decimal_width(size)
    cdef bytes whole = room(len(head) + width + 4 + size)
    cdef char* to = PyBytes_AS_STRING(whole)
    to = put_bytes(to, head)
    to = put_length(to, size, width)
    put_bytes(to, body)
    return whole


cpdef bytes result_response(bytes head, bytes id, bytes result):
    """`response(head, result(id, result))`: the answer to nearly every call."""
    cdef Py_ssize_t size = result_size(id, result), width = decimal_width(size)
    cdef bytes whole = room(len(head) + width + 4 + size)
    cdef char* to = PyBytes_AS_STRING(whole)
    to = put_bytes(to, head)
    to = put_length(to, size, width)
    put_result(to, id, result)
    return whole


cpdef bytes result_event(bytes id, bytes result, bytes name, bytes event_id=b""):
    """`event(result(id, result), name, event_id)`: the same answer on a stream."""
    cdef Py_ssize_t size = result_size(id, result)
    cdef bytes whole
    cdef char* to
    if has_line_break(PyBytes_AS_STRING(id), len(id)) or has_line_break(PyBytes_AS_STRING(result), len(result)):
        whole = room(size)
        put_result(PyBytes_AS_STRING(whole), id, result)
        return event(whole, name, event_id)
    whole = open_event(name, event_id, -1, 6 + size + 1, &to)
    to = put_text(to, "data: ")
    to = put_result(to, id, result)
    put_text(to, "\n\n")
    return whole


# --- session ids


cdef inline bint is_hex(unsigned char digit) noexcept:
    return (<unsigned char>(digit - c"0") < 10) | (<unsigned char>(digit - c"a") < 6)


cpdef long long place(bytes session_id):
    """The number that the first 8 digits (32 bits) of a session id are, in lower-case hexadecimal; -1 if they are none."""
    cdef const unsigned char* text = <const unsigned char*>PyBytes_AS_STRING(session_id)
    cdef Py_ssize_t at
    cdef long long number = 0
    if len(session_id) < 8:
        return -1
    for at in range(8):
        if not is_hex(text[at]):
            return -1
        number = number << 4 | (text[at] - c"0" if text[at] <= c"9" else text[at] - c"a" + 10)
    return number


cpdef bint equal(bytes a, bytes b):
    """Whether two secrets are the same, in a time that tells nothing but whether their lengths are."""
    cdef const char* left = PyBytes_AS_STRING(a)
    cdef const char* right = PyBytes_AS_STRING(b)
    cdef Py_ssize_t at = 0, size = len(a)
    cdef uint64_t word, other
    cdef volatile uint64_t difference = 0
    if size != len(b):
        return False
    while size - at >= 8:
        memcpy(&word, left + at, 8)
        memcpy(&other, right + at, 8)
        difference |= word ^ other
        at += 8
    while at < size:
        difference |= <unsigned char>(left[at] ^ right[at])
        at += 1
    return difference == 0


cpdef bytes part(bytes data, Py_ssize_t start, Py_ssize_t end):
    """`data[start:end]`, for 0 <= start <= end <= len(data). ValueError: it is not so."""
    if not 0 <= start <= end <= len(data):
        raise ValueError("these bytes are not there")
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)


cpdef bytes text(object piece):
    """The bytes of anything that has a buffer, such as a piece of JSON that a decoder left raw."""
    cdef Py_buffer view
    PyObject_GetBuffer(piece, &view, PyBUF_SIMPLE)
    try:
        return PyBytes_FromStringAndSize(<const char*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


# --- request heads
#
# `scan` declines (None) or agrees with h11 in every field. What is unusual goes to `http11`, which asks h11, so each rule here says what
# is plain, never what is right.

# A token byte (RFC 9110 §5.6.2) in lower case, 0 for every other byte.
cdef unsigned char TOKEN[256]
# What else a byte may be part of: a request target, the name in Host, the IPv6 address in Host.
cdef unsigned char KINDS[256]
cdef enum:
    TARGET = 1
    NAME = 2
    ADDRESS = 4

for byte in range(256):
    lower = bytes([byte]).lower()
    TOKEN[byte] = lower[0] if lower in b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" else 0
    KINDS[byte] = (
        (TARGET if 0x21 <= byte < 0x7F and lower != b"#" else 0)
        | (NAME if lower in b"-._0123456789abcdefghijklmnopqrstuvwxyz" else 0)
        | (ADDRESS if lower in b":.0123456789abcdef" else 0)
    )
del byte, lower

# Values that nearly every head carries; sharing them saves an allocation each.
cdef bytes POST = b"POST"
cdef bytes GET = b"GET"
cdef bytes MCP = b"/mcp"
cdef bytes MESSAGE = b"/message"
cdef bytes JSON = b"application/json"
cdef bytes JSON_OR_STREAM = b"application/json, text/event-stream"
cdef bytes NOTHING = b""


cdef inline bytes cut(const unsigned char* start, const unsigned char* end):
    return PyBytes_FromStringAndSize(<const char*>start, end - start)


cdef inline bytes share(const unsigned char* start, const unsigned char* end, bytes usual):
    """The bytes from start to end, as the shared object if they are the usual ones."""
    cdef Py_ssize_t size = end - start
    if size == PyBytes_GET_SIZE(usual) and memcmp(start, PyBytes_AS_STRING(usual), size) == 0:
        return usual
    return PyBytes_FromStringAndSize(<const char*>start, size)


cdef inline bint same8(const unsigned char* text, const unsigned char* lower) noexcept:
    """Whether eight bytes are those of `lower`, a letter in either case. Letters have the bit 0x40, "-" and ":" have not."""
    cdef uint64_t left, right
    memcpy(&left, text, 8)
    memcpy(&right, lower, 8)
    return left | ((right & <uint64_t>0x4040404040404040) >> 1) == right


cdef inline bint same4(const unsigned char* text, const unsigned char* lower) noexcept:
    cdef uint32_t left, right
    memcpy(&left, text, 4)
    memcpy(&right, lower, 4)
    return left | ((right & <uint32_t>0x40404040) >> 1) == right


cdef inline bint begins(const unsigned char* text, Py_ssize_t room, const char* literal, Py_ssize_t size) noexcept:
    """Whether the text begins with the literal, at least 4 bytes of a-z, "-" and ":", in any case. Loads overlap instead of looping."""
    cdef const unsigned char* lower = <const unsigned char*>literal
    if room < size:
        return False
    if size < 8:
        return same4(text, lower) and same4(text + size - 4, lower + size - 4)
    if not same8(text, lower) or not same8(text + size - 8, lower + size - 8):
        return False
    return size <= 16 or same8(text + 8, lower + 8)


cdef enum Field:
    OTHER
    HOST
    ORIGIN
    ACCEPT
    CONTENT_TYPE
    CONTENT_LENGTH
    CONNECTION
    SESSION_ID
    PROTOCOL_VERSION
    MCP_METHOD
    MCP_NAME
    LAST_EVENT_ID
    AUTHORIZATION
    UNUSUAL


cdef inline Field known(const unsigned char* at, Py_ssize_t room, Py_ssize_t* size) noexcept:
    """Which field the line at `at` holds, OTHER if none that matters here."""
    cdef unsigned char letter = at[0] | 0x20
    if letter == c"h":
        if begins(at, room, b"host:", 5):
            size[0] = 4
            return HOST
    elif letter == c"a":
        if begins(at, room, b"accept:", 7):
            size[0] = 6
            return ACCEPT
        if begins(at, room, b"authorization:", 14):
            size[0] = 13
            return AUTHORIZATION
    elif letter == c"c":
        if begins(at, room, b"content-length:", 15):
            size[0] = 14
            return CONTENT_LENGTH
        if begins(at, room, b"content-type:", 13):
            size[0] = 12
            return CONTENT_TYPE
        if begins(at, room, b"connection:", 11):
            size[0] = 10
            return CONNECTION
    elif letter == c"m":
        if begins(at, room, b"mcp-session-id:", 15):
            size[0] = 14
            return SESSION_ID
        if begins(at, room, b"mcp-protocol-version:", 21):
            size[0] = 20
            return PROTOCOL_VERSION
        if begins(at, room, b"mcp-method:", 11):
            size[0] = 10
            return MCP_METHOD
        if begins(at, room, b"mcp-name:", 9):
            size[0] = 8
            return MCP_NAME
    elif letter == c"o":
        if begins(at, room, b"origin:", 7):
            size[0] = 6
            return ORIGIN
    elif letter == c"l":
        if begins(at, room, b"last-event-id:", 14):
            size[0] = 13
            return LAST_EVENT_ID
    elif letter == c"t":
        if begins(at, room, b"transfer-encoding:", 18):
            size[0] = 17
            return UNUSUAL
    elif letter == c"e":
        if begins(at, room, b"expect:", 7):
            size[0] = 6
            return UNUSUAL
    elif letter == c"u":
        if begins(at, room, b"upgrade:", 8):
            size[0] = 7
            return UNUSUAL
    return OTHER


@cython.overflowcheck(False)
cdef inline const unsigned char* past_field_value(const unsigned char* at, const unsigned char* end) noexcept:
    """The first byte that is not HTAB, SP or visible ASCII; `end` if there is none."""
    cdef uint64_t word
    # Eight bytes at once: the high bit of a byte is set in (b - 0x20) below SP, in (b + 1) at DEL, in b above ASCII.
    while end - at >= 8:
        memcpy(&word, at, 8)
        if ((word - <uint64_t>0x2020202020202020) | (word + <uint64_t>0x0101010101010101) | word) & <uint64_t>0x8080808080808080:
            break
        at += 8
    while at < end and (0x20 <= at[0] < 0x7F or at[0] == c"\t"):
        at += 1
    return at


cdef bint plain_host(const unsigned char* at, const unsigned char* end) noexcept:
    """A name or an address, perhaps with a port."""
    if at < end and at[0] == c"[":
        at += 1
        if at == end or not KINDS[at[0]] & ADDRESS:
            return False
        while at < end and KINDS[at[0]] & ADDRESS:
            at += 1
        if at == end or at[0] != c"]":
            return False
        at += 1
    else:
        if at == end or not KINDS[at[0]] & NAME:
            return False
        while at < end and KINDS[at[0]] & NAME:
            at += 1
    if at == end:
        return True
    if at[0] != c":" or at + 1 == end:
        return False
    at += 1
    while at < end and c"0" <= at[0] <= c"9":
        at += 1
    return at == end


cdef inline bint is_name(const unsigned char* at, bytes lower) noexcept:
    """Whether token bytes in either case are this lower-case name."""
    cdef const unsigned char* name = <const unsigned char*>PyBytes_AS_STRING(lower)
    cdef Py_ssize_t i
    for i in range(PyBytes_GET_SIZE(lower)):
        if TOKEN[at[i]] != name[i]:
            return False
    return True


@cython.final
@cython.freelist(16)
@cython.no_gc
@cython.auto_pickle(False)
cdef class Head:
    """One request head, immutable, the same class whether `scan` or h11 read it.

    Names are lower case, values have no surrounding blanks, and a known field that is absent is None. `path` and `query` are the target
    cut at the first "?", after the authority if it has one; nothing is percent-decoded. `content_length` is 0 without a body and -1 for
    a chunked one. `size` counts the bytes of the head with its empty line. `principal` says who sent it: authentication notes that here,
    and nothing else ever changes.
    """

    def __init__(self):
        raise TypeError("a Head comes from scan() or Head.of()")

    @staticmethod
    def of(
        bytes method not None,
        bytes target not None,
        int minor,
        list fields not None,
        bint keep_alive,
        long long content_length,
        bint expect_continue,
        Py_ssize_t size=0,
    ):
        """A head from its parts; `fields` holds (lower-case name, stripped value) in order."""
        cdef Head head = Head.__new__(Head)
        head.method = method
        head.target = target
        head.minor = minor
        head.keep_alive = keep_alive
        head.content_length = content_length
        head.expect_continue = expect_continue
        head.size = size
        head._fields = fields
        head.host = head.get(b"host")
        head.origin = head.get(b"origin")
        head.content_type = head.get(b"content-type")
        head.accept = head.get(b"accept")
        head.session_id = head.get(b"mcp-session-id")
        head.protocol_version = head.get(b"mcp-protocol-version")
        head.mcp_method = head.get(b"mcp-method")
        head.mcp_name = head.get(b"mcp-name")
        head.last_event_id = head.get(b"last-event-id")
        head.authorization = head.get(b"authorization")
        head._maybe_repeated = True
        resource, _, head.query = target.partition(b"?")
        if not resource.startswith(b"/") and b"://" in resource:  # absolute-form, RFC 9112 §3.2.2
            resource = b"/" + resource.partition(b"://")[2].partition(b"/")[2]
        head.path = resource
        return head

    @property
    def repeated(self):
        """Whether some field name stands on more than one line."""
        if not self._maybe_repeated:
            return False
        return len({name for name, _ in self.fields}) != len(self.fields)

    @property
    def fields(self):
        """All fields as (lower-case name, stripped value), in order."""
        cdef list fields
        if self._fields is None:
            fields = []
            for line in self._data[self._start:self._end].split(b"\r\n"):
                name, _, value = line.partition(b":")
                fields.append((name.lower(), value.strip(b" \t")))
            self._fields = fields
        return self._fields

    cpdef list all(self, bytes name):
        """The values of every line with this lower-case name, in order."""
        if self._data is None:
            return [value for field, value in self._fields if field == name]
        cdef list values = []
        cdef Py_ssize_t size = len(name)
        cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(self._data) + self._start
        cdef const unsigned char* end = at + self._end - self._start
        cdef const unsigned char* stop
        while at < end:
            stop = <const unsigned char*>memchr(at, c"\r", end - at)
            if stop == NULL:
                stop = end
            if stop - at > size and at[size] == c":" and is_name(at, name):
                values.append(cut(at + size + 1, stop).strip(b" \t"))
            at = stop + 2
        return values

    cpdef bytes get(self, bytes name):
        """The value of the field with this lower-case name, its lines joined with ", "; None if absent."""
        cdef list values = self.all(name)
        return b", ".join(values) if values else None


# Bytes that arrived with a head and stay as long as it does; a head among more is copied.
cdef enum:
    LITTER = 4096


cpdef Head scan(bytes data, Py_ssize_t start=0):
    """The head that begins at data[start], if it is complete and plain; None for everything else.

    Plain: CRLF line ends, HTTP/1.0 or 1.1, a target that begins with "/", names of token bytes, values of HTAB, SP and visible ASCII,
    one Host, at most one Content-Length of up to 12 digits, Connection only as "keep-alive" or "close", no Transfer-Encoding, Expect or
    Upgrade, and none of the fields that Head names more than once.
    """
    cdef Py_ssize_t whole = len(data), size
    if start < 0 or start >= whole:
        return None
    cdef const unsigned char* first = <const unsigned char*>PyBytes_AS_STRING(data)
    cdef const unsigned char* end = first + whole
    cdef const unsigned char* at = first + start
    cdef const unsigned char* begin = at
    cdef const unsigned char* name
    cdef const unsigned char* value
    cdef const unsigned char* stop
    cdef const unsigned char* mark = NULL
    cdef uint64_t seen = 0, bit
    cdef long long length = -1
    cdef int connection = 0
    cdef Field field
    cdef Head head = Head.__new__(Head)

    # method SP
    while at < end and TOKEN[at[0]]:
        at += 1
    if at == begin or at == end or at[0] != c" ":
        return None
    size = at - begin
    if size == 4 and memcmp(begin, b"POST", 4) == 0:
        head.method = POST
    elif size == 3 and memcmp(begin, b"GET", 3) == 0:
        head.method = GET
    elif size == 7 and memcmp(begin, b"CONNECT", 7) == 0:
        return None
    else:
        head.method = cut(begin, at)

    # target SP
    at += 1
    begin = at
    if at == end or at[0] != c"/":
        return None
    while at < end and KINDS[at[0]] & TARGET:
        if at[0] == c"?" and mark == NULL:
            mark = at
        at += 1
    # HTTP-version CRLF
    if end - at < 11 or memcmp(at, b" HTTP/1.", 8) != 0 or at[9] != c"\r" or at[10] != c"\n":
        return None
    head.target = share(begin, at, MCP)
    if mark == NULL:
        head.path = head.target
        head.query = NOTHING
    else:
        head.path = share(begin, mark, MESSAGE)
        head.query = cut(mark + 1, at)
    if at[8] == c"1":
        head.minor = 1
    elif at[8] != c"0":
        return None
    at += 11

    head._start = at - first
    while at < end and at[0] != c"\r":
        name = at
        field = known(at, end - at, &size)
        if field != OTHER:
            at += size
        else:
            while at < end and TOKEN[at[0]]:
                at += 1
            size = at - name
            if size == 0 or at == end or at[0] != c":":
                return None
        at += 1
        while at < end and (at[0] == c" " or at[0] == c"\t"):
            at += 1
        value = at
        at = past_field_value(at, end)
        if end - at < 2 or at[0] != c"\r" or at[1] != c"\n":
            return None
        stop = at
        at += 2
        while stop > value and ((stop - 1)[0] == c" " or (stop - 1)[0] == c"\t"):
            stop -= 1

        if field == OTHER:
            # A small set of the names seen; where two share a bit, `repeated` is found out when somebody asks.
            bit = <uint64_t>1 << ((size * 5 + (name[0] | 0x20) * 3 + (name[size >> 1] | 0x20) * 7 + (name[size - 1] | 0x20)) & 63)
            if seen & bit:
                head._maybe_repeated = True
            seen |= bit
        elif field == HOST:
            if head.host is not None or not plain_host(value, stop):
                return None
            head.host = cut(value, stop)
        elif field == ACCEPT:
            if head.accept is not None:
                return None
            head.accept = share(value, stop, JSON_OR_STREAM)
        elif field == ORIGIN:
            if head.origin is not None:
                return None
            head.origin = cut(value, stop)
        elif field == CONTENT_TYPE:
            if head.content_type is not None:
                return None
            head.content_type = share(value, stop, JSON)
        elif field == CONTENT_LENGTH:
            if length >= 0 or not 1 <= stop - value <= 12:
                return None
            head._length_at = value - first - start
            head._length_size = stop - value
            length = 0
            while value < stop:
                if not c"0" <= value[0] <= c"9":
                    return None
                length = length * 10 + (value[0] - c"0")
                value += 1
        elif field == CONNECTION:
            if connection:
                return None
            if stop - value == 10 and begins(value, 10, b"keep-alive", 10):
                connection = 1
            elif stop - value == 5 and begins(value, 5, b"close", 5):
                connection = 2
            else:
                return None
        elif field == SESSION_ID:
            if head.session_id is not None:
                return None
            head.session_id = cut(value, stop)
        elif field == PROTOCOL_VERSION:
            if head.protocol_version is not None:
                return None
            head.protocol_version = cut(value, stop)
        elif field == MCP_METHOD:
            if head.mcp_method is not None:
                return None
            head.mcp_method = cut(value, stop)
        elif field == MCP_NAME:
            if head.mcp_name is not None:
                return None
            head.mcp_name = cut(value, stop)
        elif field == LAST_EVENT_ID:
            if head.last_event_id is not None:
                return None
            head.last_event_id = cut(value, stop)
        elif field == AUTHORIZATION:
            if head.authorization is not None:
                return None
            head.authorization = cut(value, stop)
        else:
            return None

    # the empty line
    if head.host is None or end - at < 2 or at[0] != c"\r" or at[1] != c"\n":
        return None
    head.size = (at - first) + 2 - start
    head._end = (at - first) - 2
    if whole - head.size <= LITTER:
        head._data = data
        head._begin = start
    else:
        head._data = cut(first + start, at + 2)
        head._start -= start
        head._end -= start
    head.content_length = length if length > 0 else 0
    head.keep_alive = connection != 2 if head.minor else connection == 1
    return head


cpdef Head again(Head last, bytes data, Py_ssize_t start=0):
    """`scan(data, start)` of a head that differs from `last`, which `scan` has read, in its Content-Length at most; None for every other
    head, and without `last`. Clients send the same head with every call, and to compare it costs a fraction of reading it.
    """
    if last is None or last._data is None or start < 0 or start >= len(data) or len(data) - last.size > LITTER:
        return None
    cdef const unsigned char* old = <const unsigned char*>PyBytes_AS_STRING(last._data) + last._begin
    cdef const unsigned char* new = <const unsigned char*>PyBytes_AS_STRING(data) + start
    cdef Py_ssize_t room = len(data) - start, before = last._length_at, digits = 0, behind
    cdef long long length = 0
    if room < before or memcmp(old, new, before) != 0:
        return None
    if before:
        while digits < 12 and before + digits < room and c"0" <= new[before + digits] <= c"9":
            length = length * 10 + (new[before + digits] - c"0")
            digits += 1
        if not digits:
            return None
    behind = last.size - before - last._length_size
    if room - before - digits < behind or memcmp(old + before + last._length_size, new + before + digits, behind) != 0:
        return None

    cdef Head head = Head.__new__(Head)
    head._data = data
    head._begin = start
    head._start = start + last._start - last._begin
    head._end = start + last._end - last._begin + digits - last._length_size
    head._length_at = before
    head._length_size = digits
    head.size = last.size + digits - last._length_size
    head.content_length = length
    head.method = last.method
    head.target = last.target
    head.path = last.path
    head.query = last.query
    head.minor = last.minor
    head.keep_alive = last.keep_alive
    head.host = last.host
    head.origin = last.origin
    head.content_type = last.content_type
    head.accept = last.accept
    head.session_id = last.session_id
    head.protocol_version = last.protocol_version
    head.mcp_method = last.mcp_method
    head.mcp_name = last.mcp_name
    head.last_event_id = last.last_event_id
    head.authorization = last.authorization
    head._maybe_repeated = last._maybe_repeated
    return head


# --- messages


cpdef Py_ssize_t depth(bytes body):
    """How deep arrays and objects are nested in a JSON text, at most; of what is not JSON, never less than a reader may follow."""
    cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(body)
    cdef const unsigned char* end = at + len(body)
    cdef Py_ssize_t now = 0, most = 0
    while at < end:
        if at[0] == c'"':
            at += 1
            while at < end and at[0] != c'"':
                at += 2 if at[0] == c"\\" else 1
        elif at[0] == c"[" or at[0] == c"{":
            now += 1
            most = max(most, now)
        elif at[0] == c"]" or at[0] == c"}":
            now -= 1
        at += 1
    return most


# `scan_call` declines (None) or agrees with msgspec in every field; what is unusual goes to `jsonrpc`, which asks msgspec.

# Nesting that `scan_call` follows; what is deeper is left to msgspec, which has a limit of its own.
cdef enum:
    DEEPEST = 64

cdef str CALL = "tools/call"
TOOLS_CALL = CALL


@cython.final
@cython.freelist(16)
@cython.no_gc
@cython.auto_pickle(False)
cdef class Message:
    """One JSON-RPC message, the same class whether `scan_call` or msgspec read it; what is absent is None.

    `id`, `arguments`, `input_responses`, `result` and `error` are JSON texts, `arguments` is b"" when absent or null. `name`, `uri`,
    `cursor`, `request_state` and the rest of what is in `params` are as far as the house reads them; `wrong` is the error to answer with
    when they cannot be read. `meta`: `params._meta`, from `scan_call` still as JSON text. The method `tools/call` is always TOOLS_CALL
    itself: the hot path asks for that object, not for its letters.
    """

    def __init__(self):
        raise TypeError("a Message comes from scan_call() or Message.of()")

    @staticmethod
    def of(
        bytes id,
        str method,
        bytes params=None,
        *,
        str name=None,
        str uri=None,
        str cursor=None,
        bytes arguments not None=b"",
        object meta=None,
        bytes input_responses=None,
        str request_state=None,
        bytes result=None,
        bytes error=None,
        object wrong=None,
    ):
        """A message from its parts."""
        cdef Message message = Message.__new__(Message)
        message.id = id
        message.method = CALL if method == CALL else method
        message._params = params
        message.name = name
        message.uri = uri
        message.cursor = cursor
        message.arguments = arguments
        message.meta = meta
        message.input_responses = input_responses
        message.request_state = request_state
        message.result = result
        message.error = error
        message.wrong = wrong
        return message

    @property
    def params(self):
        """The JSON text of the params, None when there are none."""
        if self._params is None and self._body is not None:
            self._params = self._body[self._start:self._end]
        return self._params


cdef inline const unsigned char* past_blanks(const unsigned char* at, const unsigned char* end) noexcept:
    while at < end and (at[0] == c" " or at[0] == c"\n" or at[0] == c"\r" or at[0] == c"\t"):
        at += 1
    return at


@cython.overflowcheck(False)
cdef inline const unsigned char* past_ordinary(const unsigned char* at, const unsigned char* end) noexcept:
    """Behind eights of bytes that are ASCII, and neither control characters nor quotes nor backslashes."""
    cdef uint64_t word, quotes, slashes
    while end - at >= 8:
        memcpy(&word, at, 8)
        quotes = word ^ <uint64_t>0x2222222222222222
        slashes = word ^ <uint64_t>0x5C5C5C5C5C5C5C5C
        # The high bit of a byte is set in what is above ASCII, was below SP, or has become zero; borrows only make more of it.
        if (
            word | (word - <uint64_t>0x2020202020202020)
            | (quotes - <uint64_t>0x0101010101010101) | (slashes - <uint64_t>0x0101010101010101)
        ) & <uint64_t>0x8080808080808080:
            break
        at += 8
    return at


cdef inline const unsigned char* past_plain_string(const unsigned char* at, const unsigned char* end) noexcept:
    """Behind the closing quote of a string of printable ASCII without escapes, `at` being behind the opening one; NULL for any other."""
    while at < end and at[0] != c'"':
        if at[0] < 0x20 or at[0] > 0x7E or at[0] == c"\\":
            return NULL
        at += 1
    return NULL if at == end else at + 1


cdef inline bint is_hex_digit(unsigned char digit) noexcept:
    return is_hex(digit | 0x20) and digit > 0x20


cdef const unsigned char* past_string(const unsigned char* at, const unsigned char* end) noexcept:
    """The same for any string that is JSON; NULL also for what is not ASCII and for halves of surrogate pairs."""
    cdef int i
    at = past_ordinary(at, end)
    while at < end and at[0] != c'"':
        if at[0] < 0x20 or at[0] > 0x7F:
            return NULL
        if at[0] == c"\\":
            at += 1
            if at == end:
                return NULL
            if at[0] == c"u":
                if end - at < 5 or (at[1] | 0x20) == c"d":
                    return NULL
                for i in range(1, 5):
                    if not is_hex_digit(at[i]):
                        return NULL
                at += 4
            elif memchr(b'"\\/bfnrt', at[0], 8) == NULL:
                return NULL
        at += 1
    return NULL if at == end else at + 1


cdef const unsigned char* past_number(const unsigned char* at, const unsigned char* end) noexcept:
    if at < end and at[0] == c"-":
        at += 1
    if at == end or not c"0" <= at[0] <= c"9":
        return NULL
    if at[0] == c"0":
        at += 1
    else:
        while at < end and c"0" <= at[0] <= c"9":
            at += 1
    if at < end and at[0] == c".":
        at += 1
        if at == end or not c"0" <= at[0] <= c"9":
            return NULL
        while at < end and c"0" <= at[0] <= c"9":
            at += 1
    if at < end and (at[0] | 0x20) == c"e":
        at += 1
        if at < end and (at[0] == c"+" or at[0] == c"-"):
            at += 1
        if at == end or not c"0" <= at[0] <= c"9":
            return NULL
        while at < end and c"0" <= at[0] <= c"9":
            at += 1
    return at


cdef inline const unsigned char* past_literal(
    const unsigned char* at, const unsigned char* end, const char* literal, Py_ssize_t size
) noexcept:
    return at + size if end - at >= size and memcmp(at, literal, size) == 0 else NULL


cdef const unsigned char* past_value(const unsigned char* at, const unsigned char* end, int deeper) noexcept:
    """Behind the JSON value that begins at `at`; NULL if there is none, or one that is not plain."""
    cdef unsigned char closing
    if at == end:
        return NULL
    if at[0] == c'"':
        return past_string(at + 1, end)
    if at[0] == c"t":
        return past_literal(at, end, b"true", 4)
    if at[0] == c"f":
        return past_literal(at, end, b"false", 5)
    if at[0] == c"n":
        return past_literal(at, end, b"null", 4)
    if at[0] != c"{" and at[0] != c"[":
        return past_number(at, end)
    if not deeper:
        return NULL
    closing = at[0] + 2
    at = past_blanks(at + 1, end)
    if at < end and at[0] == closing:
        return at + 1
    while True:
        if closing == c"}":
            if at == end or at[0] != c'"':
                return NULL
            at = past_string(at + 1, end)
            if at == NULL:
                return NULL
            at = past_blanks(at, end)
            if at == end or at[0] != c":":
                return NULL
            at = past_blanks(at + 1, end)
        at = past_value(at, end, deeper - 1)
        if at == NULL:
            return NULL
        at = past_blanks(at, end)
        if at == end:
            return NULL
        if at[0] == closing:
            return at + 1
        if at[0] != c",":
            return NULL
        at = past_blanks(at + 1, end)


cdef inline const unsigned char* past_id(const unsigned char* at, const unsigned char* end) noexcept:
    """Behind a plain string or an integer."""
    if at == end:
        return NULL
    if at[0] == c'"':
        return past_plain_string(at + 1, end)
    return past_number(at, end)


cdef inline bint is_text(const unsigned char* start, Py_ssize_t size, const char* literal, Py_ssize_t wanted) noexcept:
    return size == wanted and memcmp(start, literal, size) == 0


cdef const unsigned char* scan_params(Message message, const unsigned char* at, const unsigned char* end) except? NULL:
    """Behind the params of a tool call, an object whose members go into `message`; NULL if they are not plain."""
    cdef const unsigned char* key
    cdef const unsigned char* value
    cdef Py_ssize_t size
    if at == end or at[0] != c"{":
        return NULL
    at = past_blanks(at + 1, end)
    while True:
        if at == end or at[0] != c'"':
            return NULL
        key = at + 1
        at = past_plain_string(key, end)
        if at == NULL:
            return NULL
        size = at - key - 1
        at = past_blanks(at, end)
        if at == end or at[0] != c":":
            return NULL
        value = at = past_blanks(at + 1, end)
        if at == end:
            return NULL
        if is_text(key, size, b"name", 4):
            if message.name is not None or at[0] != c'"':
                return NULL
            at = past_plain_string(at + 1, end)
            if at == NULL:
                return NULL
            message.name = PyUnicode_DecodeASCII(<const char*>value + 1, at - value - 2, NULL)
        elif is_text(key, size, b"arguments", 9):
            if message.arguments is not None or at[0] != c"{":
                return NULL
            at = past_value(at, end, DEEPEST)
            if at == NULL:
                return NULL
            message.arguments = cut(value, at)
        elif is_text(key, size, b"_meta", 5):
            if message.meta is not None or at[0] != c"{":
                return NULL
            at = past_value(at, end, DEEPEST)
            if at == NULL:
                return NULL
            message.meta = cut(value, at)
        else:
            return NULL
        at = past_blanks(at, end)
        if at == end:
            return NULL
        if at[0] == c"}":
            return at + 1
        if at[0] != c",":
            return NULL
        at = past_blanks(at + 1, end)


cpdef Message scan_call(bytes body):
    """The `tools/call` request that is the whole body, if it is a plain one; None for everything else.

    Plain: the members jsonrpc, id, method and params, each once, and of params only name, arguments (an object) and _meta (an object),
    each at most once; an id that is an integer or, like the name, printable ASCII without escapes; arguments and _meta in ASCII.
    """
    cdef const unsigned char* first = <const unsigned char*>PyBytes_AS_STRING(body)
    cdef const unsigned char* end = first + len(body)
    cdef const unsigned char* at = past_blanks(first, end)
    cdef const unsigned char* key
    cdef const unsigned char* value
    cdef Py_ssize_t size
    cdef bint version = False
    cdef Message message
    if at == end or at[0] != c"{":
        return None
    message = Message.__new__(Message)
    at = past_blanks(at + 1, end)
    while True:
        if at == end or at[0] != c'"':
            return None
        key = at + 1
        at = past_plain_string(key, end)
        if at == NULL:
            return None
        size = at - key - 1
        at = past_blanks(at, end)
        if at == end or at[0] != c":":
            return None
        value = at = past_blanks(at + 1, end)
        if is_text(key, size, b"jsonrpc", 7):
            at = past_literal(at, end, b'"2.0"', 5)
            if version or at == NULL:
                return None
            version = True
        elif is_text(key, size, b"id", 2):
            at = past_id(at, end)
            if message.id is not None or at == NULL:
                return None
            if value[0] != c'"' and (memchr(value, c".", at - value) or memchr(value, c"e", at - value) or memchr(value, c"E", at - value)):
                return None
            message.id = cut(value, at)
        elif is_text(key, size, b"method", 6):
            at = past_literal(at, end, b'"tools/call"', 12)
            if message.method is not None or at == NULL:
                return None
            message.method = CALL
        elif is_text(key, size, b"params", 6):
            if message._body is not None:
                return None
            at = scan_params(message, at, end)
            if at == NULL:
                return None
            message._body = body
            message._start = value - first
            message._end = at - first
        else:
            return None
        at = past_blanks(at, end)
        if at == end:
            return None
        if at[0] == c"}":
            break
        if at[0] != c",":
            return None
        at = past_blanks(at + 1, end)
    if past_blanks(at + 1, end) != end or not version or message.id is None or message.method is None or message._body is None:
        return None
    if message.arguments is None:
        message.arguments = NOTHING
    return message
