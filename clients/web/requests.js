// Requests to see our presence. Nobody is accepted automatically.

import { marks } from "./contacts.js";
import { element, said, trying } from "./dom.js";

export async function showRequests(prosed, place, account) {
  const requests = account ? await prosed.listSubscriptionRequests({ account }).catch(() => []) : [];
  place.replaceChildren(...requests.map((request) => card(prosed, account, request)));
}

function card(prosed, account, { jid, nick, message, warnings }) {
  const trouble = element("p", { className: "trouble", role: "alert" });
  const answer = (word, method) => {
    const button = element("button", { textContent: word, className: word === "Accept" ? "" : "quiet" });
    button.addEventListener("click", () => trying(trouble, () => prosed[method]({ account, jid })));
    return button;
  };
  return element("div", { className: "card request" },
    element("p", {}, said(jid, "name"), " ", marks(warnings), " wants to see your presence", nick ? [" and says to be ", said(nick)] : "", "."),
    message ? element("p", { className: "status" }, said(message)) : "",
    element("div", { className: "row" }, answer("Accept", "approveSubscription"), answer("Deny", "denySubscription")),
    trouble);
}
