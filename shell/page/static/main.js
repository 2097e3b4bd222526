// Brings the parts together: the stream fills the store, the store is drawn at most once a frame, keys and the address
// choose what is open. Only this file knows all the others.

import { Refused, ask, keepToken, takeToken } from "./access.js";
import { drawMinutes, drawPoints, recolour, resizeCharts } from "./charts.js";
import { Drawer } from "./drawer.js";
import { at, show } from "./elements.js";
import { drawEvents } from "./events.js";
import * as hosts from "./hosts.js";
import * as place from "./location.js";
import { play } from "./playback.js";
import { drawSchedulers } from "./schedulers.js";
import { Store } from "./store.js";
import { follow } from "./stream.js";
import { drawStrip, drawTrouble } from "./strip.js";
import * as tasks from "./tasks.js";

const store = new Store();
let lost = "";
let shown = place.read();
let selectedTask = null;
let selectedHost = null;
let drawer = null;
let waiting = false;

function open(what, focus = true) {
  if (what.startsWith("task:")) selectedTask = what.slice(5);
  if (what.startsWith("host:")) selectedHost = what.slice(5);
  place.write({ open: what }, true);
  shown = place.read();
  drawer.show(what, focus);
  redraw("tasks", "hosts");
}

function redraw(...parts) {
  parts.forEach((part) => store.changed.add(part));
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(draw);
}

function draw() {
  waiting = false;
  const { changed } = store;
  store.changed = new Set();
  const has = (...parts) => parts.some((part) => changed.has(part));
  const filter = shown.filter.toLowerCase();
  if (has("strip", "tasks", "hosts", "minutes", "head")) drawStrip(store);
  drawTrouble(store, lost);
  if (has("strip")) drawSchedulers(store.strip.schedulers ?? []);
  if (has("tasks", "filter")) tasks.drawTasks(store, filter, selectedTask, open);
  else if (has("head")) tasks.drawTaskAges(store);
  if (has("tasks", "minutes")) tasks.drawSparklines(store);
  if (has("hosts", "filter")) hosts.drawHosts(store, filter, selectedHost, open);
  if (has("events")) drawEvents(store, shown.events.toLowerCase(), Boolean(shown.bad), open);
  if (has("points")) drawPoints(store);
  if (has("minutes")) drawMinutes(store);
}

function takeDelta(delta) {
  lost = "";
  const first = !store.received;
  store.lay(delta);
  if (first) drawer.show(shown.open); // before, nothing is known, not even at what moment of a simulated run this is
  redraw();
}

function select(kind, step) {
  const [module, before] = kind === "task" ? [tasks, selectedTask] : [hosts, selectedHost];
  const name = module.neighbour(before, step);
  if (name === null) return;
  if (kind === "task") selectedTask = name;
  else selectedHost = name;
  lastKind = kind;
  module.reveal(name);
  redraw("tasks", "hosts");
  if (shown.open.startsWith(`${kind}:`)) open(`${kind}:${name}`, false);
}
let lastKind = "task";

const KEYS = {
  "/": () => at("filter").focus(),
  e: () => at("event-filter").focus(),
  j: () => select("task", 1),
  k: () => select("task", -1),
  l: () => select("host", 1),
  h: () => select("host", -1),
  "?": () => at("help").showModal(),
  Escape: () => open("", false),
  Enter: () => {
    const name = lastKind === "task" ? selectedTask : selectedHost;
    if (name !== null) open(`${lastKind}:${name}`);
  },
};

const ARROWS = { ArrowRight: 1, ArrowLeft: -1 };

function takeKey(event) {
  const writes = event.target instanceof HTMLElement && event.target.matches("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
  if (writes) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Enter" && event.target !== document.body) return; // a button does what it says
  if (Object.hasOwn(ARROWS, event.key) && at("host-grid").contains(event.target)) {
    event.preventDefault();
    select("host", ARROWS[event.key]);
    return;
  }
  if (!Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
}

function takePlace() {
  shown = place.read();
  at("filter").value = shown.filter;
  at("event-filter").value = shown.events;
  at("event-bad").checked = Boolean(shown.bad);
  if (store.received) drawer.show(shown.open);
  redraw("filter", "tasks", "hosts", "events");
}

function listen() {
  const change = (words, ...parts) => {
    place.write(words);
    shown = place.read();
    redraw(...parts);
  };
  at("filter").oninput = (event) => change({ filter: event.target.value }, "filter");
  at("event-filter").oninput = (event) => change({ events: event.target.value }, "events");
  at("event-bad").onchange = (event) => change({ bad: event.target.checked ? "1" : "" }, "events");
  at("drawer-close").onclick = () => open("", false);
  at("help-button").onclick = () => at("help").showModal();
  document.addEventListener("keydown", takeKey);
  window.addEventListener("popstate", takePlace);
  new ResizeObserver(resizeCharts).observe(at("chart-row"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    recolour();
    redraw("points", "minutes");
  });
  setInterval(() => redraw("head"), 1000); // ages grow while nothing comes
}

function knock(why) {
  show(at("page"), false);
  show(at("gate"), true);
  const way = "Open the link that laulima serve has printed, or paste its token here.";
  at("gate-why").textContent = `${why}. ${way}`;
  at("gate-form").onsubmit = (event) => {
    event.preventDefault();
    keepToken(at("gate-token").value);
    location.reload();
  };
}

async function begin() {
  takeToken();
  let may;
  try {
    may = await ask("access");
  } catch (error) {
    knock(error instanceof Refused ? error.message : "The page's own server does not answer");
    return;
  }
  show(at("page"), true);
  drawer = new Drawer(open, may.control, () => (may.simulated ? Math.floor(store.now) : null));
  hosts.drawLegend();
  listen();
  takePlace();
  const trouble = (why) => {
    lost = why;
    redraw("head");
  };
  try {
    if (may.simulated) await play(takeDelta, trouble);
    else await follow("/api/watch", takeDelta, trouble);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    knock(error.message);
  }
}

begin();
