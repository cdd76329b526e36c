cpdef bytes result(bytes id, bytes value)
