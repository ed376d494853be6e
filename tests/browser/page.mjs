// A page of a UI author's own, served as its author would: somebody gives it the token and watches.

import { createServer } from "node:http";
import { browse, task } from "./browser.mjs";

const { page: html, port, token } = task();
const server = createServer((request, response) => {
  const isPage = request.url === "/";
  response.writeHead(isPage ? 200 : 204, { "content-type": "text/html" }).end(isPage ? html : undefined);
});
await new Promise((ready) => server.listen(port, "localhost", ready));

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
  return { errors, statuses };
});
server.closeAllConnections();
server.close();
