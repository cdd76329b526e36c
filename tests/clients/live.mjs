// The live half of the docs page in Chromium, as a person uses it: fills forms, reads results, watches the figures.
// With `--tokens a,b`, where people have to say who they are: `a` may call tools, `b` may also see the figures.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { options, report } from "./driver.mjs";

const { url, tokens } = options({ tokens: { type: "string", default: "" } });
const profile = mkdtempSync(join(tmpdir(), "chromium-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"],
});
const page = await browser.newPage();
page.setDefaultTimeout(20000);
const seen = { wrong: [], methods: [] };
let session;
page.on("console", (message) => message.type() === "error" && seen.wrong.push(message.text()));
page.on("pageerror", (error) => seen.wrong.push(error.message));
page.on("dialog", (dialog) => {
  seen.wrong.push(`dialog ${dialog.message()}`);
  return dialog.dismiss();
});
page.on("request", (request) => {
  session = request.headers()["mcp-session-id"] ?? session;
  if (request.method() === "POST") seen.methods.push(request.postDataJSON().method);
});

const reads = (place, text) => page.locator(place, { hasText: text }).first().waitFor();
const text = (place) => page.locator(place).innerText();
const tool = (name) => page.locator(".tool").filter({ has: page.locator("h3", { hasText: new RegExp(`^${name}$`) }) });
const press = (name, button = "Call") => tool(name).getByRole("button", { name: button }).click();
async function call(name) {
  await press(name);
  await tool(name).locator(".called", { hasNotText: "Running" }).waitFor();
  const result = tool(name).locator(".result");
  return [await tool(name).locator(".called").innerText(), await result.textContent()];
}

async function everything() {
  await page.goto(`${url}/docs`);
  await reads("#state", /^Connected/);
  await reads(".tool form", /./);
  seen.tools = await page.locator(".tool h3").allInnerTexts();
  seen.hostile = await tool("hostile").locator("p.text").innerText();

  const shape = tool("shape");
  seen.labels = await shape.locator("label").allInnerTexts();
  seen.kinds = await shape.locator("input, select, textarea").evaluateAll((all) => all.map((one) => one.localName));
  await press("shape");
  seen.missing = await shape.locator("[aria-invalid=true]").evaluateAll((all) => all.map((one) => one.labels[0].innerText));
  seen.focused = await page.evaluate(() => document.activeElement.labels?.[0].innerText);
  await shape.getByLabel(/^text/).fill("<b>Grüße</b>\n2");
  await shape.getByLabel(/^count/).fill("3");
  await shape.getByLabel(/^sure/).selectOption("true");
  await shape.getByLabel(/^colour/).selectOption('"green"');
  await shape.getByLabel(/^point/).fill('{"x": 1');
  await shape.getByLabel(/^tags/).fill('["a", "b"]');
  await press("shape");
  seen.syntax = await shape.locator(".field .wrong", { hasText: /./ }).allInnerTexts();
  await shape.getByLabel(/^point/).fill('{"x": 1, "y": 2}');
  seen.shape = await call("shape");
  await shape.getByLabel(/^count/).fill("1.5");
  seen.invalid = await call("shape");
  seen.failure = await call("fails");

  await tool("further").getByLabel(/^a integer/).fill("1");
  await tool("further").getByLabel(/^further/).fill('{"b": [2], "__proto__": 3}');
  seen.further = await call("further");

  await tool("steps").getByLabel(/^steps/).fill("3");
  seen.steps = await call("steps");
  seen.events = await tool("steps").locator(".events li").allInnerTexts();
  seen.messages = await page.locator("#messages li").allInnerTexts();

  await press("waits");
  await reads("#figures tr:has-text('Calls that run')", /\t1|run\s*1/);
  await press("waits", "Stop");
  await tool("waits").locator(".called", { hasText: "Stopped" }).waitFor();
  await reads("#figures tr:has-text('Calls that run')", /\t0|run\s*0/);

  await page.evaluate(() => { globalThis.stream = new EventSource("/sse"); });
  await reads("#figures", "httpsse 1");
  await page.evaluate(() => globalThis.stream.close());
  await page.locator("#figures", { hasNotText: "httpsse 1" }).waitFor();
  seen.figures = await text("#figures");

  // A form that somebody is filling in outlives a change of the list.
  await tool("steps").getByLabel(/^steps/).fill("7");
  await call("grow");
  await tool("grown").waitFor();
  seen.kept = await tool("steps").getByLabel(/^steps/).inputValue();

  // Somebody else ends the session: there is a new one.
  const ended = session;
  await fetch(`${url}/mcp`, { method: "DELETE", headers: { "Mcp-Session-Id": ended } });
  await page.waitForRequest((request) => ![undefined, ended].includes(request.headers()["mcp-session-id"]));
  await reads("#state", /^Connected/);
  seen.again = (await call("fails"))[0];
}

async function guarded() {
  const [user, admin] = tokens.split(",");
  await page.goto(`${url}/docs/`);
  await reads("#state", "401");
  await reads("#note", "protected");
  seen.refused = await text("#state");
  seen.before = await page.locator(".tool").count();
  await page.getByLabel("Bearer token").fill("not-a-token-of-anybody");
  await page.keyboard.press("Enter");
  await reads("#state", /401.*invalid|401/);
  seen.unknown = await page.locator(".tool").count();
  await page.getByLabel("Bearer token").fill(user);
  await page.keyboard.press("Enter");
  await reads("#state", /^Connected/);
  await tool("who").waitFor();
  seen.who = await call("who");
  await reads("#note", "protected");
  await page.getByLabel("Bearer token").fill(admin);
  await page.keyboard.press("Enter");
  await reads("#figures", "streamable 1");
  seen.figures = await text("#figures");
  seen.shown = (await page.content()).includes(user) || (await page.content()).includes(admin);
  seen.kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie, location.href]);
}

try {
  await (tokens ? guarded() : everything());
  await page.goto("about:blank");
  for (let round = 0; round < 100; round++) {
    seen.left = (await (await fetch(`${url}/health`)).json()).activeSessions;
    if (seen.left === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
report(seen);
