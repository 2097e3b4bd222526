// The top: how the server is, in figures; alarms; and whether what is shown is fresh.

import { at, element, place, setClass, setText, show } from "./elements.js";
import { ago, duration } from "./wording.js";
import { MINUTES } from "./store.js";

const STALE_MS = 3000;
const figures = new Map();

function figure(name, value, mood = "") {
  let node = figures.get(name);
  if (!node) {
    node = element("div", {}, element("dt", {}, name), element("dd"));
    figures.set(name, node);
    at("figures").append(node);
  }
  setText(node.lastChild, value);
  setClass(node, mood);
}

export function drawStrip(store) {
  const { strip } = store;
  if (!strip.configuration) return;
  const name = strip.configuration.split("/").at(-1);
  setText(at("configuration"), name);
  at("configuration").title = strip.configuration;
  document.title = `${name} - laulima`;
  let pending = 0;
  let running = 0;
  for (const task of store.tasks.values()) {
    pending += task.pending;
    running += task.running;
  }
  for (const each of strip.schedulers ?? []) {
    pending += each.waiting; // of a shared controller, which has no tasks
    running += each.at_hosts;
  }
  let busy = 0;
  let slots = 0;
  let up = 0;
  for (const host of store.hosts.values()) {
    busy += host.busy;
    if (host.state !== "up") continue;
    slots += host.slots;
    up += 1;
  }
  const { rate, failed } = lately(store);
  figure("intake", strip.intake, strip.intake === "running" ? "good" : "warn");
  figure("up for", duration(Math.floor((store.time() - strip.since) / 1000) * 1000));
  figure("clock", strip.clock);
  figure("hosts up", `${up}/${store.hosts.size}`, up < store.hosts.size ? "warn" : "");
  figure("slots", `${busy}/${slots}`);
  figure("pending", String(pending));
  figure("running", String(running));
  figure("jobs/min", String(rate));
  figure("failed/h", String(failed), failed ? "warn" : "");
  for (const [resource, used, total] of strip.resources) figure(resource, `${used}/${total}`);
  place(
    at("health"),
    strip.executors.map(([executor, state]) =>
      element("li", { class: state === "up" ? "good" : "bad" }, `${state === "up" ? "●" : "▲"} ${executor} ${state}`),
    ),
  );
  const alarms = strip.alarms.map((alarm) => element("li", {}, `▲ ${alarm}`));
  show(at("alarms"), alarms.length > 0);
  place(at("alarms").firstElementChild, alarms);
}

// Jobs in the last whole minute, and those that did not end well in the last hour.
function lately(store) {
  const minute = Math.floor(store.now / 60_000);
  let failed = 0;
  let rate = 0;
  for (let back = 0; back <= MINUTES; back += 1) {
    const counts = store.outcomes(minute - back);
    for (const [outcome, n] of Object.entries(counts)) {
      if (outcome !== "well") failed += n;
      if (back === 1) rate += n;
    }
  }
  return { rate, failed };
}

export function drawTrouble(store, lost) {
  const reasons = [lost, store.trouble].filter(Boolean);
  const old = store.answered !== null && store.time() - store.answered >= 1000;
  const age = old ? ` This is the state of ${ago(store.answered, store.time())}.` : "";
  const stale = !store.simulated && store.answered !== null && store.time() - store.answered > STALE_MS;
  if (!reasons.length && stale) reasons.push("the server takes long to answer");
  show(at("trouble"), reasons.length > 0);
  setText(at("trouble"), reasons.length ? `▲ ${reasons.join("; ")}.${age}` : "");
  document.body.classList.toggle("stale", reasons.length > 0);
}
