// A page of a UI author's own, served as its author would: somebody gives it the token and watches.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { browse, task } from "./browser.mjs";

const { page: html, port, token } = task();
const client = new URL("../../clients/javascript/src/", import.meta.url);
const server = createServer(async ({ url }, response) => {
  if (url === "/") return response.writeHead(200, { "content-type": "text/html" }).end(html);
  const [, name] = /^\/prosed\/([a-z]+\.js)$/.exec(url) ?? [];
  if (!name) return response.writeHead(204).end();
  const script = await readFile(new URL(name, client));
  return response.writeHead(200, { "content-type": "text/javascript" }).end(script);
});
await new Promise((ready) => server.listen(port, "127.0.0.1", ready));

await browse(async (browser) => {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("dialog", (dialog) => dialog.accept(token));
  await page.goto(`http://localhost:${port}/`);
  const alice = page.locator("li").filter({ hasText: "Alice" }).filter({ hasText: "lively" });
  await page.waitForFunction(() => document.querySelector("li img")?.naturalWidth === 8);
  const statuses = [];
  for (const status of ["away", "available"]) {
    await alice.filter({ hasText: `is ${status}` }).waitFor();
    statuses.push(status);
  }
  // Kept for the tab: it isn't asked for again.
  page.removeAllListeners("dialog");
  await page.reload();
  await alice.waitFor();
  // Who has no picture shows none, and no broken one.
  const carol = page.locator("li").filter({ hasText: "carol" });
  await carol.waitFor();
  const broken = await carol.locator("img").count();
  // The same page from where it is not listed says what to do.
  const unlisted = await browser.newPage();
  unlisted.on("dialog", (dialog) => dialog.accept(token));
  await unlisted.goto(`http://127.0.0.1:${port}/`);
  await unlisted.getByText(`allowed_origins = ["http://127.0.0.1:${port}"]`).waitFor();
  return { errors, statuses, broken };
});
server.closeAllConnections();
server.close();
