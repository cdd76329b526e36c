// The TypeScript SDK 1.x client against the hosted servers: it gives a call up, and asks whether the tool was told.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { options, report } from "./driver.mjs";

const args = options();
const url = new URL(args.url);
const http = args.transport === "http";
const transport = http ? new StreamableHTTPClientTransport(url) : new SSEClientTransport(url);
let revision;
transport.setProtocolVersion = ((inherited) => (version) => inherited.call(transport, (revision = version)))(
  transport.setProtocolVersion,
);
const client = new Client({ name: "cancels_typescript", version: "1" });
await client.connect(transport);
const given = { name: args.payload };
const control = new AbortController();
try {
  await client.callTool({ name: "wait", arguments: given }, undefined, {
    signal: control.signal,
    onprogress: () => control.abort("enough"),
  });
} catch {}
const told = (await client.callTool({ name: "interrupted", arguments: given })).content[0].text;
await client.close();
report({ told, revision });
