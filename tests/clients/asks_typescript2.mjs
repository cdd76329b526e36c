// The TypeScript client 2.x against the hosted servers, at a modern revision: a call ends with its questions, and the
// client calls again with the answers. The report is that of asks_python.py at such a revision.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { options, report } from "./driver.mjs";

const args = options();
const asked = {};
const client = new Client(
  { name: "asks_typescript2", version: "1" },
  { capabilities: { sampling: {}, elicitation: { form: {} } }, versionNegotiation: { mode: { pin: args.mode } } },
);
client.setRequestHandler("sampling/createMessage", ({ params }) => {
  asked.sampling = params.messages[0].content.text;
  const content = { type: "text", text: `model ${args.payload}` };
  return { role: "assistant", content, model: "a model", stopReason: "endTurn" };
});
client.setRequestHandler("elicitation/create", ({ params }) => {
  asked.elicitation = params.message;
  asked.fields = Object.keys(params.requestedSchema.properties).sort();
  return { action: "accept", content: { username: `user ${args.payload}`, email: "a@b.example" } };
});
await client.connect(new StreamableHTTPClientTransport(new URL(args.url)));
const revision = client.getNegotiatedProtocolVersion();
const given = { prompt: `prompt ${args.payload}`, message: `message ${args.payload}` };
const rounds = (await client.callTool({ name: "test_rounds", arguments: given })).content[0].text;
await client.close();
report({ revision, asked, rounds });
