// What happened, the newest first; words in the filter must all be there.

import { at, element, place, setText } from "./elements.js";
import { clock, many } from "./wording.js";

const SHOWN = 200; // older ones are found with `laulima history`

export function drawEvents(store, filter, onlyBad, open) {
  const words = filter.split(/\s+/).filter(Boolean);
  const found = [];
  for (let index = store.events.length - 1; index >= 0 && found.length < SHOWN; index -= 1) {
    const event = store.events[index];
    if (onlyBad && !event.bad) continue;
    const text = `${event.kind} ${event.job || ""} ${event.task} ${event.host} ${event.text}`.toLowerCase();
    if (words.every((word) => text.includes(word))) found.push(event);
  }
  place(at("event-rows"), found.map((event) => rowOf(event, open)));
  setText(at("events-count"), filter || onlyBad ? `${found.length} of ${store.events.length}` : many(found.length, "event"));
}

const made = new WeakMap();

function rowOf(event, open) {
  if (!made.has(event)) {
    const row = element(
      "li",
      { class: event.bad ? "bad" : "" },
      element("time", { dateTime: new Date(event.at).toISOString() }, clock(event.at)),
      element("span", { class: "mark", title: event.bad ? "bad" : event.kind }, event.bad ? "▲" : "·"),
      about(event, open),
      element("span", {}, event.text),
    );
    made.set(event, row);
  }
  return made.get(event);
}

function about(event, open) {
  const link = (text, what) => element("button", { type: "button", class: "link", onclick: () => open(what) }, text);
  if (event.job) return link(String(event.job), `job:${event.job}`);
  if (event.kind === "task") return link(event.task, `task:${event.task}`);
  if (event.kind === "host") return link(event.host, `host:${event.host}`);
  return element("span");
}
