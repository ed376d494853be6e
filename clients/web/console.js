// The web console: connects, and runs each part of the page.

import { connect } from "/client/prosed.js";
import { showContacts } from "./contacts.js";
import { trying } from "./dom.js";
import { showEvents } from "./events.js";
import { showMe } from "./me.js";
import { showMethods } from "./methods.js";
import { showRequests } from "./requests.js";

const url = `ws://${location.host}/rpc`;
const $ = (selector) => document.querySelector(selector);

/** Connects with the token in the page's address, or asks for it until it is right. */
async function enter() {
  const door = $("#door");
  const trouble = door.querySelector(".trouble");
  for (let token; ; token = await asked(door)) {
    try {
      const prosed = await connect({ url, token });
      door.close();
      return prosed;
    } catch (error) {
      trouble.textContent = error.kind === "tokenMissing" ? "" : error.message;
    }
  }
}

function asked(door) {
  const { token } = door.querySelector("form").elements;
  token.value = "";
  if (!door.open) door.showModal();
  return new Promise((resolve) => door.addEventListener("close", () => resolve(token.value.trim()), { once: true }));
}

/** Says why this page can't go on. */
function showEnd(error) {
  const end = $("#end");
  end.querySelector(".trouble").textContent = error?.message ?? "";
  end.showModal();
}

// The client connects to addresses only: a name might lead to another program.
if (location.hostname === "localhost") {
  showEnd({ message: `This page is at http://127.0.0.1:${location.port}/ only.` });
  await new Promise(() => {});
}

const prosed = await enter();
const showState = () => {
  $("#link").textContent = prosed.state;
  $("#link").className = `pill ${prosed.state}`;
  // The token has changed. Don't reload: another program may have the port now.
  if (prosed.state === "closed") showEnd(prosed.error);
};
prosed.addEventListener("statechange", showState);
showState();
$("main").hidden = false;

const showActivity = () => prosed.setActivity({ active: !document.hidden }).catch(() => {});
document.addEventListener("visibilitychange", showActivity);
if (document.hidden) showActivity();

const accounts = new Map();
let chosen;
let leaving = new AbortController();

/** Shows everything about one account. */
function choose(account) {
  chosen = account;
  leaving.abort();
  leaving = new AbortController();
  showMe(prosed, $("#me"), accounts, chosen, choose);
  showRequests(prosed, $("#requests"), chosen);
  showContacts(prosed, $("#contacts"), chosen, leaving.signal);
  $("#login").open = accounts.size === 0;
}

function refresh(before) {
  if (!accounts.has(chosen)) return choose(accounts.keys().next().value);
  showMe(prosed, $("#me"), accounts, chosen, choose);
  // Load what could not be loaded without the server.
  if (before && before.state !== "online" && accounts.get(chosen).state === "online") choose(chosen);
}

const form = $("#login form");
form.addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const filled = Object.entries(Object.fromEntries(new FormData(form))).filter(([, value]) => value !== "");
  const wish = Object.fromEntries(filled);
  if (wish.port) wish.port = Number(wish.port);
  trying(form.querySelector(".trouble"), async () => {
    form.elements.password.value = "";
    const { account } = await prosed.login(wish);
    form.reset();
    choose(account);
  });
});

showMethods(prosed, $("#methods"));
const tell = showEvents($("#events"));
const load = async () => ({ ...(await prosed.getEvents()), accounts: await prosed.listAccounts() });
try {
  for await (const event of prosed.events({ snapshot: load })) {
    if (event.event === "snapshot") {
      accounts.clear();
      for (const account of event.snapshot.accounts) accounts.set(account.account, account);
      choose(accounts.has(chosen) ? chosen : accounts.keys().next().value);
      continue;
    }
    tell(event);
    if (event.event === "accountChanged") {
      const before = accounts.get(event.account);
      if (event.info) accounts.set(event.account, event.info);
      else accounts.delete(event.account);
      refresh(event.account === chosen ? before : undefined);
    } else if (event.event.startsWith("subscription") && event.account === chosen) {
      showRequests(prosed, $("#requests"), chosen);
    }
  }
} catch (error) {
  // The reason is already shown.
  if (prosed.state !== "closed") throw error;
}
