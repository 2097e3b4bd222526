// Of a shared controller: the schedulers that use it, in the place of tasks, which it does not know.

import { at, element, place, setText, show } from "./elements.js";
import { many } from "./wording.js";

export function drawSchedulers(rows) {
  const shared = rows.length > 0;
  show(at("schedulers"), shared);
  show(at("tasks"), !shared);
  setText(at("schedulers-count"), shared ? many(rows.length, "scheduler") : "");
  place(at("scheduler-rows"), rows.map(rowOf));
}

function rowOf(row) {
  const away = row.state !== "connected";
  return element(
    "tr",
    { data: { name: row.name } },
    element("th", { scope: "row" }, row.name),
    element("td", { class: away ? "state warn" : "state good" }, `${away ? "▲" : "●"} ${row.state}`),
    element("td", { class: "n" }, String(row.share)),
    element("td", { class: "n" }, `${row.waiting}/${row.waiting_most}`),
    element("td", { class: "n" }, row.at_hosts_most ? `${row.at_hosts}/${row.at_hosts_most}` : String(row.at_hosts)),
  );
}
