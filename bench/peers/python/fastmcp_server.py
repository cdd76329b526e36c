"""FastMCP with the benchmark tools, in its fastest configuration.

Started by bench.servers with the interpreter of `.peers/bench/fastmcp`. uvicorn runs on uvloop and httptools, without
an access log. `mcp` serves sessions and the stateless revision on /mcp with JSON answers, `sse` the pair on /sse.
"""

import argparse
import resource

import uvicorn
from fastmcp import FastMCP

server: FastMCP = FastMCP("bench")


def echo(text: str) -> str:
    """Returns the text."""
    return text


def add(a: int, b: int) -> int:
    """Returns the sum."""
    return a + b


async def echo_async(text: str) -> str:
    """Returns the text without ever waiting, and without a thread."""
    return text


for tool in (echo, add, echo_async):
    server.tool(tool)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--transport", choices=("mcp", "sse"), default="mcp")
    given = options.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    app = server.http_app(transport="sse") if given.transport == "sse" else server.http_app(json_response=True)
    uvicorn.run(
        app, port=given.port, loop="uvloop", http="httptools", log_level="error", access_log=False, backlog=4096
    )


if __name__ == "__main__":
    main()
