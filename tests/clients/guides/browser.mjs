// A guide's browser code in Chromium, in a page of another loopback port, against the server of clocked.py.
// `--kind` says what `--source` is: typescript (a class and its use), react (a hook) or javascript (a script). Whatever
// the page's event streams hear, the page posts and the console complains about goes into the report.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";
import { chromium } from "playwright-core";
import { options, report } from "../driver.mjs";

const { kind, source, url } = options({ kind: { type: "string" }, source: { type: "string" } });
const text = readFileSync(source, "utf8");
const HELD = 90; // seconds of the server's clock
const REPORT = ["get_sprint_report", { boardId: 123, sprintId: 456 }];
const files = { "/": ["text/html", '<!doctype html><title>A page</title><link rel="icon" href="data:,"><body></body>'] };

const web = createServer((request, response) => {
  const [type, body] = files[request.url] ?? ["text/plain", ""];
  response.writeHead(files[request.url] ? 200 : 404, { "Content-Type": type }).end(body);
});
await new Promise((yes) => web.listen(0, "localhost", yes));

// What the server itself is asked: a plain call, as in guide C.
async function ask(name, input) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: input } });
  const answer = await fetch(`${url}/mcp`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  return (await answer.json()).result;
}

async function script(path, code) {
  const { code: stripped } = await transform(code, { loader: "ts", format: "esm" });
  files[path] = ["text/javascript", stripped];
}

const seen = { wrong: [], thrown: [], posts: [] };
const profile = mkdtempSync(join(tmpdir(), "chromium-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"],
});
const page = await browser.newPage();
page.setDefaultTimeout(20000);
page.on("console", (message) => message.type() === "error" && seen.wrong.push(message.text()));
page.on("pageerror", (error) => seen.thrown.push(error.name));
page.on("response", (answer) => {
  if (answer.request().method() === "POST") seen.posts.push([new URL(answer.url()).pathname, answer.status()]);
});
await page.addInitScript(() => {
  globalThis.heard = [];
  globalThis.sources = [];
  globalThis.EventSource = class extends EventSource {
    constructor(...given) {
      super(...given);
      sources.push(this);
      for (const type of ["endpoint", "message", "welcome", "heartbeat", "response", "notification", "error"])
        this.addEventListener(type, ({ data }) => heard.push([type, data ?? null]));
    }
  };
});

const answers = (id, count) =>
  page.waitForFunction(
    ([id, count]) =>
      heard.filter(([type, data]) => type === "message" && JSON.parse(data).id === id).length >= count,
    [id, count],
  );
const state = () => page.evaluate("({ heard, states: sources.map((one) => one.readyState) })");

const kinds = {
  // First as it stands, then the class alone, held open.
  async typescript() {
    await script("/whole.js", text);
    await page.evaluate("import('/whole.js')");
    seen.whole = { posts: seen.posts.splice(0), ...(await state()) };
    await page.reload();
    const end = text.indexOf("\n}\n") + 3; // of the class
    await script("/class.js", `${text.slice(0, end)}\nglobalThis.Client = ${/class (\w+)/.exec(text)[1]};`);
    await page.evaluate("import('/class.js')");
    await page.evaluate(async (url) => {
      globalThis.client = new Client(url);
      await client.connect();
      await client.listTools();
    }, url);
    await page.evaluate((given) => client.callTool(...given), REPORT);
    await answers(1, 1);
    await answers(2, 1);
    await ask("advance", { seconds: HELD });
    await page.evaluate((given) => client.callTool(...given), REPORT);
    await answers(2, 2);
    seen.held = await state();
    await page.evaluate("client.disconnect()");
  },
  async react() {
    const bundle = await build({
      entryPoints: [fileURLToPath(new URL("page.tsx", import.meta.url))],
      alias: { hook: source },
      nodePaths: [join(process.env.PEERS, "node", "node_modules")],
      jsx: "automatic",
      bundle: true,
      write: false,
      format: "esm",
      define: { "process.env.NODE_ENV": '"development"' },
      logLevel: "silent",
    });
    files["/page.js"] = ["text/javascript", bundle.outputFiles[0].text];
    await page.evaluate((url) => (globalThis.base = url), url);
    await page.evaluate("import('/page.js')");
    await page.locator("p", { hasText: /^[0-9a-f-]{36}$/ }).waitFor();
    seen.session = await page.locator("p").innerText();
    const list = { jsonrpc: "2.0", id: 7, method: "tools/list", params: {} };
    await page.evaluate((message) => sendMessage(message), list);
    await answers(7, 1);
    await ask("advance", { seconds: HELD });
    await page.evaluate((message) => sendMessage(message), list);
    await answers(7, 2);
    seen.held = await state();
    await page.evaluate("leave()");
    await page.waitForFunction("sources.every((one) => one.readyState === 2)");
  },
  async javascript() {
    files["/plain.js"] = ["text/javascript", text];
    const answered = page.waitForResponse((answer) => answer.request().method() === "POST");
    await page.addScriptTag({ url: "/plain.js" });
    seen.answer = await (await answered).json();
    const count = (type, wanted) =>
      page.waitForFunction(
        ([type, wanted]) => heard.filter(([one]) => one === type).length >= wanted,
        [type, wanted],
      );
    await count("welcome", 1);
    await ask("advance", { seconds: HELD });
    await count("heartbeat", 3);
    await ask("broadcast", { event: "response", text: "for everybody" });
    await count("response", 1);
    seen.held = await state();
  },
};
try {
  await page.goto(`http://localhost:${web.address().port}/`);
  await kinds[kind]();
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
  web.close();
}
report(seen);
