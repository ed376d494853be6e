// What pages of strangers can see of ports: all that a page can load, embed or open, and what the browser
// then tells of it. Timing excepted.
//
// Task: `ports`: {name: port}, `looks`: from which of the pages below. Says `{name: {page: {probe: what was seen}, opening: title of the console}}`.

import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect, createServer as createDoor } from "node:net";
import { tmpdir } from "node:os";
import { browse, task } from "./browser.mjs";

const PAGE = "<!doctype html><title>a page</title><body>";
const { ports, looks } = task();

const stranger = createServer((request, response) => {
  response.writeHead(200, { "content-type": "text/html", "connection": "close" }).end(PAGE);
});
const listen = (server) => new Promise((ready) => server.listen(0, "127.0.0.1", () => ready(server.address().port)));
const strangers = await listen(stranger);

// A name that first leads to the strangers, then to the target.
let rebound = null;
const door = createDoor((socket) => {
  if (!rebound) return stranger.emit("connection", socket);
  const within = connect(rebound, "127.0.0.1");
  socket.pipe(within).pipe(socket);
  socket.on("error", () => within.destroy());
  // As a closed port would: the stranger's own name leads there by now.
  within.on("error", () => socket.resetAndDestroy());
  within.on("close", () => socket.destroy());
});
const rebind = await listen(door);
const file = `${tmpdir()}/page.html`;
writeFileSync(file, PAGE);

/** Runs inside the page: may use nothing from out here. */
async function probe(base) {
  const patience = (promise) => Promise.race([promise, new Promise((end) => setTimeout(end, 30_000, "nothing"))]);
  const fetched = async (path, options) => {
    try {
      const response = await fetch(base + path, { cache: "no-store", ...options });
      return `${response.type} ${response.status}`;
    } catch (error) {
      return `${error.name}: ${error.message}`;
    }
  };
  const element = (tag, path, attributes = {}) => new Promise((resolve) => {
    const made = document.createElement(tag);
    Object.assign(made, attributes);
    made.onload = () => resolve(`load ${made.naturalWidth ?? ""} ${made.clientWidth}`);
    made.onerror = () => resolve("error");
    made[{ link: "href", object: "data" }[tag] ?? "src"] = base + path;
    document.body.append(made);
  });
  // An error page is loaded again by a new fragment, a real one is not.
  const framed = async (path) => {
    const frame = document.createElement("iframe");
    document.body.append(frame);
    const load = (url) => new Promise((resolve) => {
      frame.onload = () => resolve("loads");
      setTimeout(resolve, 12_000, "stays");
      frame.src = url;
    });
    const loads = [await load(base + path), await load(`${base}${path}#x`)];
    let inside;
    try { inside = String(frame.contentWindow.location.href); } catch (error) { inside = error.name; }
    return `${loads}, ${frame.contentWindow?.length} frames, ${inside}`;
  };
  const socket = () => new Promise((resolve) => {
    const opened = new WebSocket(`${base.replace("http", "ws")}/rpc`);
    const seen = [];
    opened.onopen = () => seen.push("open");
    opened.onerror = () => seen.push("error");
    opened.onclose = ({ code, wasClean }) => resolve(`${seen} ${code} ${wasClean}`);
  });
  const opened = async (path) => {
    const tab = window.open(base + path);
    if (!tab) return "blocked";
    // Until it is no longer the empty page that it began as.
    let where = "about:blank";
    for (let tries = 0; where === "about:blank" && tries < 60; tries += 1) {
      await new Promise((end) => setTimeout(end, 100));
      try { where = tab.location.href; } catch (error) { where = error.name; }
    }
    const seen = `closed ${tab.closed}, ${tab.length} frames, ${where}`;
    tab.close();
    return seen;
  };
  const long = `/?${"a".repeat(100_000)}`;
  const probes = {};
  for (const path of ["/", "/healthz", "/client/prosed.js", "/avatars/x/y", "/rpc", "/secret"]) {
    probes[`no-cors ${path}`] = () => fetched(path, { mode: "no-cors" });
    probes[`cors ${path}`] = () => fetched(path);
  }
  Object.assign(probes, {
    "no-cors POST": () => fetched("/rpc", { mode: "no-cors", method: "POST", body: "{}" }),
    "no-cors long": () => fetched(long, { mode: "no-cors" }),
    "https": () => fetch(base.replace("http:", "https:"), { mode: "no-cors" }).then(() => "an answer", (error) => error.message),
    "img": () => element("img", "/console/icon.svg"),
    "img of no picture": () => element("img", "/avatars/x/y"),
    "script": () => element("script", "/client/prosed.js"),
    "module": () => element("script", "/client/prosed.js", { type: "module" }),
    "style": () => element("link", "/console/console.css", { rel: "stylesheet" }),
    "preload": () => element("link", "/console/console.js", { rel: "preload", as: "script" }),
    "video": () => element("video", "/"),
    "object": () => element("object", "/"),
    "WebSocket": socket,
  });
  const report = {};
  const look = async ([name, use]) => { report[name] = await patience(use()); };
  await Promise.all(Object.entries(probes).map(look));
  // By themselves, since each takes a process of the browser's.
  await look(["frame", () => framed("/")]);
  await look(["frame of text", () => framed("/healthz")]);
  await look(["tab", () => opened("/")]);
  // What is told of each load, but for how long it took.
  const told = (entry) => ["responseStatus", "transferSize", "encodedBodySize", "decodedBodySize", "nextHopProtocol",
    "workerStart", "redirectStart", "renderBlockingStatus", "contentType"].map((name) => entry[name]).join(" ");
  const entries = performance.getEntriesByType("resource").map((entry) =>
    `${entry.initiatorType} ${entry.name.replace(base, "").slice(0, 20)} ${told(entry)}`);
  report["resource timing"] = [...new Set(entries.filter((entry) => !/127\.0\.0\.1|favicon/.test(entry)))].sort().join("\n");
  return report;
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

const pages = {
  "cross-site": ["http://stranger.example/"],
  "other-port": [`http://127.0.0.1:${strangers}/`],
  sandboxed: ["http://stranger.example/", { sandbox: "allow-scripts allow-popups", srcdoc: PAGE }],
  file: [`file://${file}`],
  rebound: [`http://rebind.example:${rebind}/`],
};

async function look(browser, port) {
  const seen = {};
  for (const name of looks) {
    const [address, frame] = pages[name];
    rebound = null;
    const page = await browser.newPage();
    await page.goto(address);
    const within = frame ? await framed(page, frame) : page.mainFrame();
    rebound = port;
    const base = name === "rebound" ? `http://rebind.example:${rebind}` : `http://127.0.0.1:${port}`;
    seen[name] = await within.evaluate(probe, base);
    // The port is in some messages.
    for (const key of Object.keys(seen[name])) seen[name][key] = seen[name][key].replaceAll(String(port), "PORT");
    await page.close();
  }
  // As `prosectl open` does it.
  writeFileSync(`${file}.open.html`, `<!doctype html><meta http-equiv="refresh" content="0;url=http://127.0.0.1:${port}/#x">`);
  const page = await browser.newPage();
  await page.goto(`file://${file}.open.html`).catch(() => {});
  const opened = page.waitForFunction(() => document.title === "prosed", null, { timeout: 6_000 });
  seen.opening = await opened.then(() => "prosed", () => null);
  await page.close();
  return seen;
}

await browse(async (browser) => {
  const seen = {};
  for (const [name, port] of Object.entries(ports)) seen[name] = await look(browser, port);
  return seen;
}, { names: { "stranger.example": `127.0.0.1:${strangers}`, "rebind.example": `127.0.0.1:${rebind}` }, args: ["--disable-popup-blocking"] });
process.exit();
