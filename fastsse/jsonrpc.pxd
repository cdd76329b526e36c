from fastsse cimport _framing

cpdef decode(object body)
cpdef decode_params(object params)
cpdef bytes read_id(object raw)
cpdef bytes read_token(object raw)
cpdef arguments_of(object params)
