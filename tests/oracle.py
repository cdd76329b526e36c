"""The readable twins of `fastsse._framing`, same names and signatures: the specification of the compiled functions, the partner of the
differential tests and the base line of the benchmarks. Nothing here is fast and nothing here is imported by the package.
"""

LAST_CHUNK = b"0\r\n\r\n"


def result(id: bytes, value: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id, value)
