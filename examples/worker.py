"""A program in another language answers: WORKER="node examples/worker.mjs" python -m fastsse examples/worker.py:guest

Requests go to its standard input as lines of JSON-RPC, answers come back as lines in any order: what MCP calls stdio,
without state for single clients. It speaks revision 2025-11-25 and older; clients of 2026-07-28 notice and follow.
"""

import asyncio
import json
import logging
import os
import shlex
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import fastsse
from fastsse.handler import ASYNC

log = logging.getLogger("worker")

LONGEST = 16 << 20  # bytes of one answer


class Gone(fastsse.McpError):
    def __init__(self) -> None:
        super().__init__(-32603, "The worker has ended")


class Worker(fastsse.Guest):
    name = "worker"
    version = "1.0.0"

    def __init__(self, command: str) -> None:
        self.command = shlex.split(command)
        self.process: Process
        self.waiting: dict[int, asyncio.Future[bytes]] = {}
        self.number = 0
        self.gone = False
        plan = fastsse.Plan(ASYNC, self.name, encode=lambda result, _: result, failed=lambda error, _: None)
        self.work = fastsse.Work(plan, self.forward)
        self.lifespan = self.running

    @asynccontextmanager
    async def running(self, _: object) -> AsyncIterator[None]:
        self.process = await asyncio.create_subprocess_exec(*self.command, stdin=PIPE, stdout=PIPE, limit=LONGEST)
        reading = asyncio.create_task(self.read())
        try:
            yield
        finally:
            assert self.process.stdin is not None
            self.process.stdin.close()
            await self.process.wait()
            await reading

    def handle(self, request: fastsse.Request) -> fastsse.Work:
        if request.revision.modern:
            raise fastsse.MethodNotFound(request.method)
        return self.work

    async def forward(self, context: fastsse.Context) -> bytes:
        if self.gone:
            raise Gone
        self.number += 1
        number, request = self.number, context.request
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.waiting[number] = answer
        line = b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":%b}\n'
        params = (request.params or b"{}").translate(None, b"\r\n")  # between JSON's tokens they are white space
        assert self.process.stdin is not None
        self.process.stdin.write(line % (number, request.method.encode(), params))
        try:
            return await answer
        finally:
            del self.waiting[number]

    async def read(self) -> None:
        assert self.process.stdout is not None
        try:
            async for line in self.process.stdout:
                said = json.loads(line)
                answer = self.waiting.get(said.get("id"))
                if answer is None or answer.done():
                    continue
                if "error" in said:
                    answer.set_exception(fastsse.McpError(said["error"]["code"], said["error"]["message"]))
                else:
                    answer.set_result(json.dumps(said["result"]).encode())
        except ValueError:  # no JSON, or a line that is too long: nobody knows where the next one begins
            log.exception("what the worker says cannot be read")
        finally:
            self.gone = True
            for answer in self.waiting.values():
                if not answer.done():
                    answer.set_exception(Gone())


guest = Worker(os.environ.get("WORKER", "node examples/worker.mjs"))
