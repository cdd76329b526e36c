"""A FastMCP server on fastsse: python -m fastsse examples/hosted_fastmcp.py:server"""

from fastmcp import FastMCP

import fastsse

server: FastMCP = FastMCP("hello")


def greet(name: str, times: int = 1) -> str:
    """Greets somebody, several times if need be."""
    return " ".join([f"Hello, {name}!"] * times)


server.tool(greet)

if __name__ == "__main__":
    fastsse.run(server)  # this line was: server.run("http")
