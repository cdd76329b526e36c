// The TypeScript SDK with the two benchmark tools, in its fastest configuration: plain node:http, JSON answers.
//
// Started by bench.servers from `.peers/bench/typescript`, where its packages are installed. `mcp` serves, with the 2.x
// packages, sessions and the stateless revision on /mcp; `sse` serves the HTTP+SSE pair on /sse and /messages with 1.x,
// the last line that has it. A session has its own server object there, as the SDK's examples do it.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';

const { values } = parseArgs({
  options: { port: { type: 'string' }, transport: { type: 'string', default: 'mcp' } },
});

function withTools(server, schema) {
  server.registerTool(
    'echo',
    { description: 'Returns the text.', inputSchema: schema({ text: z.string() }) },
    async ({ text }) => ({ content: [{ type: 'text', text }], structuredContent: { result: text } }),
  );
  server.registerTool(
    'add',
    { description: 'Returns the sum.', inputSchema: schema({ a: z.number().int(), b: z.number().int() }) },
    async ({ a, b }) => ({ content: [{ type: 'text', text: String(a + b) }], structuredContent: { result: a + b } }),
  );
  return server;
}

const newServer = () => withTools(new McpServer({ name: 'bench', version: '1' }), (shape) => z.object(shape));
const newServer1 = () => withTools(new McpServer1({ name: 'bench', version: '1' }), (shape) => shape);

const sessions = new Map();
const modern = toNodeHandler(createMcpHandler(newServer));

async function mcp(request, response) {
  if (request.headers['mcp-protocol-version'] === '2026-07-28') return modern(request, response);
  const known = sessions.get(request.headers['mcp-session-id']);
  if (known) return known.handleRequest(request, response);
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: () => randomUUID(),
    enableJsonResponse: true,
    onsessioninitialized: (id) => sessions.set(id, transport),
  });
  transport.onclose = () => sessions.delete(transport.sessionId);
  await newServer().connect(transport);
  return transport.handleRequest(request, response);
}

async function sse(request, response) {
  const url = new URL(request.url, 'http://localhost');
  if (request.method === 'GET' && url.pathname === '/sse') {
    const transport = new SSEServerTransport('/messages', response);
    sessions.set(transport.sessionId, transport);
    response.on('close', () => sessions.delete(transport.sessionId));
    return newServer1().connect(transport);
  }
  const known = sessions.get(url.searchParams.get('sessionId'));
  if (!known) return response.writeHead(404).end();
  return known.handlePostMessage(request, response);
}

createServer(values.transport === 'sse' ? sse : mcp).listen({ port: Number(values.port), host: '127.0.0.1', backlog: 4096 });
