// Pages that try to get in: each opens a WebSocket with a stolen token and asks who is there.

import { createServer } from "node:http";
import { browse, task } from "./browser.mjs";

const { port, token, pages } = task();
const server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<title>page</title>"));
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const here = `127.0.0.1:${server.address().port}`;
const names = Object.fromEntries(pages.map((page) => [new URL(page).hostname, here]));

await browse(async (browser) => {
  const heard = {};
  for (const origin of pages) {
    const page = await browser.newPage();
    await page.goto(origin);
    heard[origin] = await page.evaluate(knock, { url: `ws://127.0.0.1:${port}/rpc`, token });
    await page.close();
  }
  return heard;
}, { names });
server.close();

function knock({ url, token }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, ["prosed.v1", `prosed.bearer.${token}`]);
    socket.onopen = () => socket.send('{"jsonrpc":"2.0","id":1,"method":"get_version"}');
    socket.onmessage = ({ data }) => resolve(JSON.parse(data));
    socket.onclose = () => resolve(null);
  });
}
