"""A server of the official Python SDK on fastsse: python -m fastsse examples/hosted_sdk.py:server"""

from mcp.server.mcpserver import MCPServer

import fastsse

server: MCPServer[None] = MCPServer("hello")


@server.tool()
def greet(name: str, times: int = 1) -> str:
    """Greets somebody, several times if need be."""
    return " ".join([f"Hello, {name}!"] * times)


if __name__ == "__main__":
    fastsse.run(server)  # this line was: server.run("streamable-http")
