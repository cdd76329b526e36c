// The TypeScript client 2.x; `--mode` legacy, auto or a modern revision.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { options, report, walk } from "./driver.mjs";

const args = options();
const mode = ["legacy", "auto"].includes(args.mode) ? args.mode : { pin: args.mode };
const Transport = args.transport === "sse" ? SSEClientTransport : StreamableHTTPClientTransport;
const client = new Client({ name: "typescript2", version: "1" }, { versionNegotiation: { mode } });
await client.connect(new Transport(new URL(args.url)));
const revision = client.getNegotiatedProtocolVersion();
const seen = await walk(client, (name, input, extra) => client.callTool({ name, arguments: input }, extra), args);
await client.close();
report({ revision, ...seen });
