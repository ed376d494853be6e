// Our account: its state, and our presence.

import { AVAILABILITIES, element, portrait, said, trying } from "./dom.js";

export function showMe(prosed, place, accounts, chosen, choose) {
  const account = accounts.get(chosen);
  // Don't overwrite what the user is typing.
  if (place.contains(document.activeElement) && place.dataset.account === chosen) return;
  place.dataset.account = chosen ?? "";
  if (!account) return place.replaceChildren();
  const name = account.profile?.nickname ?? account.profile?.fullName ?? chosen.split("@")[0];
  const { availability, avatar, state, status = "" } = account;
  const visible = state === "online" ? availability : "unavailable";
  const trouble = element("p", { className: "trouble", role: "alert", textContent: account.error?.message ?? "" });

  const words = Object.entries(AVAILABILITIES).map(([word, title]) =>
    element("option", { value: word, textContent: title, selected: word === availability }),
  );
  const how = element("select", { ariaLabel: "How we are there" }, words);
  const what = element("input", { value: status, placeholder: "Say something", ariaLabel: "Status", maxLength: 1000 });
  const say = () => {
    const wish = { account: chosen, availability: how.value };
    if (what.value) wish.status = what.value;
    return trying(trouble, () => prosed.setPresence(wish));
  };
  how.addEventListener("change", say);
  what.addEventListener("change", say);

  const others = [...accounts.keys()].map((jid) => element("option", { textContent: jid, selected: jid === chosen }));
  const which = element("select", { ariaLabel: "Account", className: "quiet" }, others);
  which.addEventListener("change", () => {
    which.blur();
    choose(which.value);
  });
  const isOut = state === "offline" || state === "failed";
  const door = element("button", { className: "quiet", textContent: isOut ? "Log in" : "Log out" });
  door.addEventListener("click", () => {
    door.blur();
    trying(trouble, () => (isOut ? prosed.login({ jid: chosen }) : prosed.logout({ account: chosen })));
  });

  place.replaceChildren(
    element("div", { className: "card me" },
      element("div", { className: "person" },
        portrait(prosed, { jid: chosen, name, avatar, availability: visible }),
        element("div", { className: "words" }, said(name, "name"), which),
        element("span", { className: `pill ${state}`, textContent: state })),
      element("div", { className: "row" }, how, what, door),
      trouble),
  );
}
