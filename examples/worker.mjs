// The other side of worker.py: one line in, one line out.
import { createInterface } from "node:readline";

const text = (said) => ({ content: [{ type: "text", text: said }] });
const methods = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion: protocolVersion < "2025-11-25" ? protocolVersion : "2025-11-25",
    capabilities: { tools: {} },
    serverInfo: { name: "worker", version: "1.0.0" },
  }),
  ping: () => ({}),
  "tools/list": () => ({ tools: [{ name: "reverse", inputSchema: { type: "object" } }] }),
  "tools/call": ({ arguments: given }) => text([...given.text].reverse().join("")),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  const answer = methods[method]
    ? { result: methods[method](params) }
    : { error: { code: -32601, message: `Method not found: ${method}` } };
  console.log(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
}
