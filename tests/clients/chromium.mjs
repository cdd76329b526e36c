// Chromium's own EventSource and fetch, in a page of `--page`: the server's own origin, or a foreign one whose name
// `--map` sends to this machine. A refusal is not a failure of this driver: it is reported as `error`.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { DEMO, options, report } from "./driver.mjs";
import { talk } from "./raw.mjs";

const { page: address, map, ...args } = options({
  page: { type: "string", default: "" },
  map: { type: "string", default: "" },
});
const input = JSON.stringify({ ...args, demo: DEMO, revision: "2025-11-25" });
const profile = mkdtempSync(join(tmpdir(), "chromium-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    ...(map ? [`--host-resolver-rules=${map}`] : []),
  ],
});
let seen;
try {
  const page = await browser.newPage();
  const logged = [];
  page.on("console", (message) => message.type() === "error" && logged.push(message.text()));
  await page.goto(address || new URL("/health", args.url).href);
  seen = await page
    .evaluate(`(${talk})(${input}, EventSource)`)
    .catch((error) => ({ error: error.message, console: logged }));
  seen.origin = await page.evaluate("location.origin");
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
report(seen);
