// The TypeScript SDK 1.x client.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { options, report, walk } from "./driver.mjs";

const args = options();
const Transport = args.transport === "sse" ? SSEClientTransport : StreamableHTTPClientTransport;
const transport = new Transport(new URL(args.url));
let revision;
transport.setProtocolVersion = ((inherited) => (version) => inherited.call(transport, (revision = version)))(
  transport.setProtocolVersion,
);
const client = new Client({ name: "typescript1", version: "1" });
await client.connect(transport);
await client.ping();
const seen = await walk(client, (name, input, extra) => client.callTool({ name, arguments: input }, undefined, extra), args);
if (args.transport === "http") await transport.terminateSession();
await client.close();
report({ revision, ...seen });
