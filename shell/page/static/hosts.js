// The grid of hosts: a square each, its colour and its sign are the state, its filled height is the load.

import { at, element, place, setClass, setText } from "./elements.js";
import { ago, many } from "./wording.js";

// Signs beside colours: whoever sees no difference between two colours sees one between two signs.
const SIGNS = {
  up: ["", "up: filled as far as its slots are in use"],
  connecting: ["…", "connecting"],
  draining: ["↓", "draining"],
  off: ["○", "off"],
  silent: ["?", "silent"],
  aside: ["!", "set aside"],
  down: ["✕", "down"],
};
const MANY = 200; // hosts; more of them are drawn smaller
const squares = new Map();
const slug = (state) => (Object.hasOwn(SIGNS, state) ? state : "other");

export function drawLegend() {
  place(
    at("host-legend"),
    Object.entries(SIGNS).map(([state, [sign, meaning]]) =>
      element(
        "li",
        {},
        element("span", { class: `square ${state}`, "aria-hidden": "true" }, element("i"), element("b", {}, sign)),
        meaning,
      ),
    ),
  );
}

function squareOf(name, open) {
  const fill = element("i");
  const sign = element("b");
  const button = element("button", { type: "button", data: { name }, onclick: () => open(`host:${name}`) }, fill, sign);
  return { button, fill, sign, drawn: null };
}

export function drawHosts(store, filter, selected, open) {
  const shown = [];
  const states = new Map();
  for (const host of store.hosts.values()) {
    states.set(host.state, (states.get(host.state) ?? 0) + 1);
    const words = `${host.name} ${host.state} ${host.labels.join(" ")} ${host.why}`;
    if (filter && !words.toLowerCase().includes(filter)) continue;
    if (!squares.has(host.name)) squares.set(host.name, squareOf(host.name, open));
    const square = squares.get(host.name);
    if (square.drawn !== host) drawSquare(square, host, store.now);
    setClass(square.button, `square ${slug(host.state)}${selected === host.name ? " selected" : ""}`);
    shown.push(square.button);
  }
  place(at("host-grid"), shown);
  // One stop for the Tab key, not a thousand; from there the arrows lead on.
  const stop = shown.find((button) => button.dataset.name === selected) ?? shown[0];
  for (const button of shown) {
    const index = button === stop ? 0 : -1;
    if (button.tabIndex !== index) button.tabIndex = index;
  }
  at("host-grid").classList.toggle("many", store.hosts.size > MANY);
  for (const name of squares.keys()) if (!store.hosts.has(name)) squares.delete(name);
  const counts = [...states].map(([state, n]) => `${n} ${state}`).join(", ");
  const all = `${many(store.hosts.size, "host")}${counts ? `: ${counts}` : ""}`;
  setText(at("hosts-count"), filter ? `${shown.length} of ${store.hosts.size}` : all);
}

function drawSquare(square, host, now) {
  square.drawn = host;
  const load = host.slots ? Math.min(1, host.busy / host.slots) : 0;
  square.fill.style.height = `${Math.round(load * 100)}%`;
  setText(square.sign, SIGNS[host.state]?.[0] ?? "?");
  const lines = [`${host.name}: ${host.state}`, `${host.busy} of ${host.slots} slots in use`];
  if (host.queued) lines.push(`${many(host.queued, "job")} for just this host`);
  if (host.why) lines.push(host.why);
  square.button.title = `${lines.join("\n")}\nsince ${ago(host.since, now)}`;
  square.button.setAttribute("aria-label", lines.join(", "));
}

export function neighbour(selected, step) {
  const names = [...at("host-grid").children].map((button) => button.dataset.name);
  if (!names.length) return null;
  const here = names.indexOf(selected);
  return names[here < 0 ? (step > 0 ? 0 : names.length - 1) : Math.min(names.length - 1, Math.max(0, here + step))];
}

export function reveal(name) {
  const button = squares.get(name)?.button;
  if (at("host-grid").contains(document.activeElement)) button?.focus();
  button?.scrollIntoView({ block: "nearest" });
}
