// The pages of examples/browser in Chromium, bundled and served by esbuild as their README says, used as a person does.
// Whatever the browser complains about goes into the report.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { context } from "esbuild";
import { chromium } from "playwright-core";
import { options, report } from "./driver.mjs";

const { url, nobody } = options({ nobody: { type: "string" } });
const folder = fileURLToPath(new URL("../../examples/browser/", import.meta.url));
const bundler = await context({
  entryPoints: ["react.tsx", "class.ts"].map((name) => join(folder, name)),
  nodePaths: [join(process.env.PEERS, "node", "node_modules")],
  jsx: "automatic",
  bundle: true,
  format: "esm",
  outdir: folder,
  write: false,
  logLevel: "silent",
});
const { port } = await bundler.serve({ host: "127.0.0.1", port: 0, servedir: folder });
const profile = mkdtempSync(join(tmpdir(), "chromium-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"],
});
const page = await browser.newPage();
page.setDefaultTimeout(20000);
const seen = { wrong: [] };
let expected = false;
page.on("console", (message) => message.type() === "error" && !expected && seen.wrong.push(message.text()));
page.on("pageerror", (error) => seen.wrong.push(error.message));

const open = (name, server = url) => page.goto(`http://127.0.0.1:${port}/${name}.html?server=${server}`);
const reads = (place, text) => page.locator(place, { hasText: text }).waitFor();
const tools = async () => {
  await page.locator("li").nth(3).waitFor();
  return page.locator("li").allInnerTexts();
};

try {
  await open("react");
  await reads("#state", /^connected$/);
  seen.react = { tools: await tools() };
  await page.locator("[name=a]").fill("20");
  await page.locator("button").click();
  await reads("output", /./);
  seen.react.sum = await page.locator("output").innerText();
  await page.locator("[name=b]").fill("three");
  await page.locator("button").click();
  await reads("output", /nvalid/);
  seen.react.wrong = await page.locator("output").innerText();

  await open("class");
  await reads("#state", /^connected$/);
  seen.class = { tools: await tools() };
  await page.locator("button").click();
  await reads("#result", /./);
  seen.class.progress = await page.locator("#progress").innerText();
  seen.class.result = await page.locator("#result").innerText();

  await open("plain");
  await reads("#state", /elcome|onnected/);
  seen.plain = { state: await page.locator("#state").innerText() };
  await page.locator("[name=text]").fill("<b>Grüße</b>");
  await page.locator("button").click();
  await reads("output", /./);
  seen.plain.said = await page.locator("output").innerText();
  // A broadcast comes from the application; the test makes the server send one when it is asked for this page.
  await page.evaluate((url) => fetch(`${url}/mcp`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "announce", arguments: {} } }),
  }), url);
  await reads("li", /./);
  seen.plain.events = await page.locator("li").allInnerTexts();

  expected = true; // the browser says that nobody answers
  seen.nobody = {};
  for (const name of ["react", "class"]) {
    await open(name, nobody);
    await reads("#state", /does not answer/);
    seen.nobody[name] = await page.locator("#state").innerText();
  }
} finally {
  await browser.close();
  await bundler.dispose();
  rmSync(profile, { recursive: true, force: true });
}
report(seen);
