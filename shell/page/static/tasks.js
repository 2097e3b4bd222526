// The table of tasks: a row for each, changed cell by cell, with the last hour as a sparkline.

import { at, element, place, setClass, setText, svg } from "./elements.js";
import { ago, duration, inFuture, many } from "./wording.js";
import { MINUTES } from "./store.js";

const HEIGHT = 18;
const STATES = {
  on: "● on",
  held: "‖ held",
  faulted: "✕ faulted",
  inactive: "○ inactive",
  deleted: "○ deleted",
};
const rows = new Map();
const DRAWN = ["name", "state", "pending", "running", "done", "failed", "spark", "p50", "p95", "last", "next", "why"];
const NUMBERS = new Set(["pending", "running", "done", "failed", "p50", "p95"]);

function rowOf(name, open) {
  const cells = Object.fromEntries(
    DRAWN.map((key) => [key, element(key === "name" ? "th" : "td", { class: NUMBERS.has(key) ? `n ${key}` : key })]),
  );
  cells.name.scope = "row";
  cells.link = element("button", { type: "button", class: "link", onclick: () => open(`task:${name}`) }, name);
  cells.name.append(cells.link);
  const well = svg("path", { class: "well" });
  const bad = svg("path", { class: "bad" });
  cells.picture = svg(
    "svg",
    {
      viewBox: `0 0 ${MINUTES} ${HEIGHT}`,
      width: MINUTES * 1.5,
      height: HEIGHT,
      role: "img",
      preserveAspectRatio: "none",
    },
    well,
    bad,
  );
  cells.spark.append(cells.picture);
  return { ...cells, well, bad, row: element("tr", { data: { name } }, ...DRAWN.map((key) => cells[key])) };
}

export function drawTasks(store, filter, selected, open) {
  const shown = [];
  for (const task of store.tasks.values()) {
    if (filter && !`${task.name} ${task.state} ${task.why}`.toLowerCase().includes(filter)) continue;
    if (!rows.has(task.name)) rows.set(task.name, rowOf(task.name, open));
    const cells = rows.get(task.name);
    drawRow(cells, task, store.time());
    setClass(cells.row, selected === task.name ? "selected" : "");
    shown.push(cells.row);
  }
  place(at("task-rows"), shown);
  for (const name of rows.keys()) if (!store.tasks.has(name)) rows.delete(name);
  setText(at("tasks-count"), filter ? `${shown.length} of ${store.tasks.size}` : many(store.tasks.size, "task"));
}

function drawRow(cells, task, now) {
  setText(cells.state, STATES[task.state] ?? `◐ ${task.state}`);
  setClass(cells.state, `state ${task.state === "on" ? "good" : task.state === "faulted" ? "bad" : "warn"}`);
  setText(cells.pending, String(task.pending));
  setText(cells.running, task.limit ? `${task.running}/${task.limit}` : String(task.running));
  setText(cells.done, String(task.done));
  setText(cells.failed, task.failed ? `${task.failed} !` : "0");
  setClass(cells.failed, task.failed ? "n failed bad" : "n failed");
  setText(cells.p50, duration(task.p50));
  setText(cells.p95, duration(task.p95));
  setText(cells.why, task.why);
  cells.why.title = task.why;
  drawAges(cells, task, now);
}

function drawAges(cells, task, now) {
  setText(cells.last, ago(task.last, now));
  setText(cells.next, inFuture(task.next, now));
}

export function drawTaskAges(store) {
  for (const [name, cells] of rows) {
    const task = store.tasks.get(name);
    if (task) drawAges(cells, task, store.time());
  }
}

export function drawSparklines(store) {
  const last = Math.floor(store.now / 60_000);
  for (const [name, cells] of rows) {
    const counts = [];
    for (let minute = last - MINUTES + 1; minute <= last; minute += 1) {
      const outcomes = store.outcomes(minute, name);
      const all = Object.values(outcomes).reduce((sum, n) => sum + n, 0);
      counts.push([outcomes.well ?? 0, all - (outcomes.well ?? 0)]);
    }
    const most = Math.max(1, ...counts.map(([well, bad]) => well + bad));
    let well = "";
    let bad = "";
    counts.forEach(([good, other], x) => {
      const up = (good / most) * HEIGHT;
      const over = other ? Math.max(1.5, (other / most) * HEIGHT) : 0; // one failure among thousands is seen, too
      if (good) well += `M${x} ${HEIGHT}v${-up}h.8v${up}z`;
      if (other) bad += `M${x} ${Math.max(over, HEIGHT - up)}v${-over}h.8v${over}z`;
    });
    cells.well.setAttribute("d", well);
    cells.bad.setAttribute("d", bad);
    const sum = (at) => counts.reduce((all, each) => all + each[at], 0);
    cells.picture.setAttribute("aria-label", `last hour: ${sum(0)} well, ${sum(1)} not`);
  }
}

// The task that j or k leads to.
export function neighbour(selected, step) {
  const names = [...at("task-rows").children].map((row) => row.dataset.name);
  if (!names.length) return null;
  const here = names.indexOf(selected);
  return names[here < 0 ? (step > 0 ? 0 : names.length - 1) : Math.min(names.length - 1, Math.max(0, here + step))];
}

export function reveal(name) {
  rows.get(name)?.row.scrollIntoView({ block: "nearest" });
}
