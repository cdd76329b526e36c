// The docs page in Chromium, as a person uses it: reads the tools, presses every copy button, runs what was copied.
// Whatever the page's own policy blocks, every dialog and every error goes into the report.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { options, report } from "./driver.mjs";

const { url } = options();
const profile = mkdtempSync(join(tmpdir(), "chromium-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"],
  permissions: ["clipboard-read", "clipboard-write"],
});
const seen = { wrong: [], requests: [], copied: {}, ran: {} };
try {
  const page = await browser.newPage();
  page.on("console", (message) => message.type() === "error" && seen.wrong.push(message.text()));
  page.on("pageerror", (error) => seen.wrong.push(error.message));
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("dialog", (dialog) => {
    seen.wrong.push(`dialog ${dialog.message()}`);
    return dialog.dismiss();
  });
  await page.goto(url);
  await page.locator("#state", { hasText: "Connected" }).waitFor();
  await page.locator(".tool form").first().waitFor();
  seen.loaded = [...new Set(seen.requests)].sort();
  seen.tools = await page.locator(".tool h3").allInnerTexts();
  seen.texts = await page.locator(".tool .text").allInnerTexts();
  await page.locator(".tool summary").first().click();
  seen.schema = JSON.parse(await page.locator(".tool details pre").first().innerText());
  for (const block of await page.locator(".copy").all()) {
    await block.locator("button").click();
    await block.locator("button", { hasText: "Copied" }).waitFor();
    const copied = await page.evaluate("navigator.clipboard.readText()");
    seen.copied[(await block.locator("code").getAttribute("id")).replace("example-", "")] = copied;
  }
  for (const name of ["fetch", "events", "plain"]) {
    const run = `new Promise((resolve, reject) => {
      const console = { log: (...words) => words[0].method || resolve(words) }; // notifications come first on /sse
      (async () => { ${seen.copied[name]} })().catch(reject);
    })`;
    seen.ran[name] = await page.evaluate(run);
  }
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
report(seen);
