// A headless Chromium for tests: Debian's, driven by playwright-core. tests/install puts both in
// place; tests/src/browser.rs starts a script and gives it its task.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const tools = process.env.PROSED_TOOLS ?? new URL("../../target/tools", import.meta.url).pathname;
const require = createRequire(pathToFileURL(`${tools}/browser/package.json`));
const { chromium } = require("playwright-core");

/// What the test wants: JSON on standard input.
export const task = () => JSON.parse(readFileSync(0, "utf8"));

/// Starts Chromium, does `work` with it, and ends it. What `work` answers goes to standard output, as
/// JSON, for the test to judge. `names` are hosts and the addresses that they shall have; all others
/// but this machine's own do not exist, so that nothing leaves it.
export async function browse(work, { names = {}, args = [] } = {}) {
  const known = Object.entries(names).map(([name, address]) => `MAP ${name} ${address}`);
  const rules = [...known, "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1", "EXCLUDE localhost", "EXCLUDE ::1"];
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      `--host-resolver-rules=${rules.join(", ")}`,
      ...args,
    ],
  });
  try {
    console.log(JSON.stringify(await work(browser)));
  } finally {
    await browser.close();
  }
}
