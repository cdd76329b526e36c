// The TypeScript SDK 1.x client against tests/conformance_server.py: it is asked by tools, and loses a stream amid a
// call. The report is that of asks_python.py.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { options, report } from "./driver.mjs";

const args = options();
const asked = {};
const resumed = [];
const noting = (url, init) => {
  const last = new Headers(init?.headers).get("last-event-id");
  if (init?.method === "GET" && last !== null) resumed.push(last);
  return fetch(url, init);
};
const http = args.transport === "http";
const url = new URL(args.url);
const transport = http ? new StreamableHTTPClientTransport(url, { fetch: noting }) : new SSEClientTransport(url);
let revision;
transport.setProtocolVersion = ((inherited) => (version) => inherited.call(transport, (revision = version)))(
  transport.setProtocolVersion,
);
const client = new Client(
  { name: "asks_typescript", version: "1" },
  { capabilities: { sampling: {}, elicitation: { form: {} } } },
);
client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => {
  asked.sampling = params.messages[0].content.text;
  const content = { type: "text", text: `model ${args.payload}` };
  return { role: "assistant", content, model: "a model", stopReason: "endTurn" };
});
client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
  asked.elicitation = params.message;
  asked.fields = Object.keys(params.requestedSchema.properties).sort();
  return { action: "accept", content: { username: `user ${args.payload}`, email: "a@b.example" } };
});
await client.connect(transport);
const call = async (name, given = {}) =>
  (await client.callTool({ name, arguments: given }, undefined, { timeout: 20000 })).content[0].text;
const sampling = await call("test_sampling", { prompt: `prompt ${args.payload}` });
const elicitation = await call("test_elicitation", { message: `message ${args.payload}` });
resumed.length = 0;
const reconnection = await call("test_reconnection");
const after = await call("test_simple_text");
if (http) await transport.terminateSession();
await client.close();
report({ revision, asked, resumed, sampling, elicitation, reconnection, after });
