// The web console, as somebody uses it: log in, see contacts come and change, answer a request, try a
// method. Hostile names must stay text. The test in Rust makes things happen and judges what is said.

import { browse, task } from "./browser.mjs";
import { connectStage } from "./stage.mjs";

const { url, token, login, stagePort, pictures } = task();
const stage = await connectStage(stagePort);

await browse(async (browser) => {
  const said = { errors: [] };
  const page = await browser.newPage({ viewport: { width: 1100, height: 860 } });
  page.on("pageerror", (error) => said.errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && said.errors.push(message.text()));
  page.on("dialog", (dialog) => said.errors.push(`a dialog: ${dialog.message()}`) && dialog.dismiss());
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));

  // Without a token it asks; a wrong one is refused.
  await page.goto(url);
  await page.fill("#door input", "guess");
  await page.click("#door button");
  said.refused = await page.locator("#door .trouble").filter({ hasText: "token" }).textContent();
  // What the failed attempt leaves in the browser's log is wanted.
  said.errors = [];

  await page.goto("about:blank");
  await page.goto(`${url}#token=${token}`);
  await page.waitForSelector("main:not([hidden])");
  said.address = page.url();

  for (const [name, value] of Object.entries(login)) {
    if (name === "host") await page.click("#login details summary");
    if (name === "tls") await page.selectOption("#login [name=tls]", value);
    else await page.fill(`#login [name=${name}]`, String(value));
  }
  await page.click("#login form > button");
  const alice = page.locator(".contacts li").filter({ hasText: "alice@prosed.test" });
  await alice.locator("img").waitFor();
  await page.waitForFunction(() => document.querySelector(".contacts img")?.naturalWidth > 0);

  await stage("presence", { show: "dnd", status: "painting" });
  await alice.filter({ hasText: "painting" }).locator(".dot.dnd").waitFor();
  await stage("hostile");
  await page.locator(".contacts").getByText("<img src=x onerror=alert(1)>").first().waitFor();
  await page.locator(".contacts .warning").first().waitFor();
  await stage("stranger");
  await page.locator(".request").filter({ hasText: "bob@prosed.test" }).waitFor();
  said.images = await page.locator("img[src=x]").count();
  said.events = await page.locator(".events li").count();

  await page.selectOption("#me .row select", "away");
  await page.selectOption("#methods select", "get_contact");
  await page.fill("#methods textarea", '{"jid": "alice@prosed.test"}');
  await page.click("#methods button");
  said.answer = JSON.parse(await page.locator("#methods .answer:not([hidden])").textContent());
  if (pictures) {
    await page.screenshot({ path: `${pictures}/light.png` });
    await page.emulateMedia({ colorScheme: "dark" });
    await page.screenshot({ path: `${pictures}/dark.png` });
    await page.setViewportSize({ width: 390, height: 844 });
    await page.screenshot({ path: `${pictures}/phone.png` });
  }
  await page.getByRole("button", { name: "Accept" }).click();
  await page.locator(".request").waitFor({ state: "detached" });

  // A killed daemon comes back, and the page with it.
  await stage("restart");
  await stage("presence", { show: "chat", status: "alive again" });
  await alice.filter({ hasText: "alive again" }).waitFor();
  await page.reload();
  await alice.waitFor();
  // Once there is another token, it says what to do, keeps nothing, and asks nobody for a page.
  const renewed = await stage("renew");
  await page.locator("#end code").waitFor();
  said.kept = await page.evaluate(() => sessionStorage.length);
  await page.goto("about:blank");
  await page.goto(`${url}#token=${renewed}`);
  await alice.waitFor();
  said.strangers = asked.filter((address) => ![new URL(url).host, ""].includes(new URL(address).host));
  // Sockets that a restart has cut are in the browser's log, as they should be.
  said.errors = said.errors.filter((error) => !/WebSocket|ERR_CONNECTION|ERR_EMPTY/.test(error));
  return said;
});
process.exit();
