// The TypeScript client 2.x against the hosted servers: what cancels_typescript.mjs does, also at a modern revision.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { options, report } from "./driver.mjs";

const args = options();
const mode = ["legacy", "auto"].includes(args.mode) ? args.mode : { pin: args.mode };
const client = new Client({ name: "cancels_typescript2", version: "1" }, { versionNegotiation: { mode } });
await client.connect(new StreamableHTTPClientTransport(new URL(args.url)));
const revision = client.getNegotiatedProtocolVersion();
const given = { name: args.payload };
const control = new AbortController();
try {
  await client.callTool({ name: "wait", arguments: given }, { signal: control.signal, onprogress: () => control.abort("enough") });
} catch {}
const told = (await client.callTool({ name: "interrupted", arguments: given })).content[0].text;
await client.close();
report({ told, revision });
