// Node's hello world: node:http parses the request and writes a constant answer of the same size as a real one.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { port: { type: 'string' }, body: { type: 'string' } } });
const body = Buffer.from(values.body);
const head = { 'Content-Type': 'application/json', 'Content-Length': body.length };

createServer((request, response) => {
  request.resume();
  response.writeHead(200, head);
  response.end(body);
}).listen({ port: Number(values.port), host: '127.0.0.1', backlog: 4096 });
