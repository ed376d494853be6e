// A form for each method, made from the daemon's description of its API.

import { element, trying } from "./dom.js";

export async function showMethods(prosed, place) {
  const { methods } = await prosed.discover();
  // Those are for the event list.
  const calls = methods.filter(({ name }) => !/^(un)?subscribe(_[a-z]+[A-Z]|$)/.test(name));
  const choice = element("select", { ariaLabel: "Method" }, calls.map(({ name }) => element("option", { textContent: name })));
  const about = element("p", { className: "faint" });
  const table = element("dl", { className: "parameters" });
  const params = element("textarea", { rows: 3, spellcheck: false, ariaLabel: "Parameters, as JSON" });
  const button = element("button", { textContent: "Call" });
  const trouble = element("p", { className: "trouble", role: "alert" });
  const answer = element("pre", { className: "answer", hidden: true });
  place.append(
    element("h2", { textContent: "Methods" }),
    element("div", { className: "row" }, choice, button), about, table, params, trouble, answer);

  const show = () => {
    const method = calls[choice.selectedIndex];
    about.textContent = method.summary;
    answer.hidden = true;
    trouble.textContent = "";
    const example = method.examples?.[0]?.params ?? [];
    params.value = JSON.stringify(Object.fromEntries(example.map(({ name, value }) => [name, value])), undefined, 2);
    params.rows = Math.min(params.value.split("\n").length, 10);
    table.replaceChildren(...method.params.flatMap(({ name, required, description = "" }) => [
      element("dt", {}, element("code", { textContent: name }), required ? "" : "?"),
      element("dd", { textContent: description }),
    ]));
  };
  choice.addEventListener("change", show);
  choice.value = "get_version";
  show();

  button.addEventListener("click", () => {
    answer.hidden = true;
    trying(trouble, async () => {
      const { name } = calls[choice.selectedIndex];
      const result = await prosed.call(name, JSON.parse(params.value || "{}"));
      answer.textContent = JSON.stringify(result, undefined, 2);
      answer.hidden = false;
    });
  });
}
