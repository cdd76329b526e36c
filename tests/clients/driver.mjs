// What every Node driver of a client stack shares: its command line, the demo app's names, and its report.
// A driver walks through the demo app and prints one JSON object; tests/test_clients.py does the asserting.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

export const DEMO = JSON.parse(readFileSync(new URL("demo.json", import.meta.url), "utf8"));
export const COUNTDOWN = { steps: DEMO.steps, delay: DEMO.delay };

// Options that a driver needs beyond those that all have.
export function options(extra = {}) {
  const text = (fallback) => ({ type: "string", default: fallback });
  const { values } = parseArgs({
    options: { url: text(), transport: text(), mode: text("legacy"), payload: text("ping"), runs: text("1"), ...extra },
  });
  return { ...values, runs: Number(values.runs) };
}

// Called after the client was closed: reaching it is the proof of a clean close. A report goes out once.
export function report(fields) {
  process.stdout.write(JSON.stringify({ ...fields, closed: true }));
}

// The walk through the demo app. The TypeScript clients differ only in how a call takes its options: `call` knows.
export async function walk(client, call, { payload, runs }) {
  const seen = { server: client.getServerVersion()?.name, progress: [] };
  seen.tools = (await client.listTools()).tools.map((tool) => tool.name);
  seen.echo = (await call(DEMO.echo, { text: payload })).content[0].text;
  seen.add = (await call(DEMO.add, { a: 2, b: 3 })).content[0].text;
  for (let run = 0; run < runs; run++) {
    const events = [];
    await call(DEMO.progress, COUNTDOWN, { onprogress: (event) => events.push([event.progress, event.total]) });
    seen.progress.push(events);
  }
  seen.resources = (await client.listResources()).resources.map((item) => item.uri);
  seen.templates = (await client.listResourceTemplates()).resourceTemplates.map((item) => item.uriTemplate);
  seen.resource = (await client.readResource({ uri: DEMO.resource })).contents[0].text;
  seen.templated = (await client.readResource({ uri: DEMO.templated })).contents[0].text;
  seen.prompts = (await client.listPrompts()).prompts.map((item) => item.name);
  const prompt = await client.getPrompt({ name: DEMO.prompt, arguments: { name: DEMO.name } });
  seen.prompt = prompt.messages[0].content.text;
  try {
    seen.unknown = { isError: (await call(DEMO.unknown, {})).isError };
  } catch (error) {
    seen.unknown = { code: error.code, message: error.message };
  }
  return seen;
}
