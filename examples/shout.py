"""Bytes in, bytes out, whatever makes them: python -m fastsse examples/shout.py:guest"""

import json

import fastsse

TOOLS = b'{"tools":[{"name":"shout","inputSchema":{"type":"object"}}]}'
HELLO = b'{"protocolVersion":"%b","capabilities":{"tools":{}},"serverInfo":{"name":"shout","version":"1.0.0"}}'


class Shout(fastsse.Guest):
    """Sees every request as it was sent; what it returns is the result to the letter."""

    name = "shout"
    version = "1.0.0"

    def handle(self, request: fastsse.Request) -> bytes:
        if request.method == "initialize":
            return HELLO % request.revision.wire  # the client's revision, or our newest
        if request.method == "tools/list":
            return TOOLS
        if request.method == "tools/call":
            text = json.loads(request.arguments)["text"].upper()
            return json.dumps({"content": [{"type": "text", "text": text}]}).encode()
        raise fastsse.MethodNotFound(request.method)


guest = Shout()
