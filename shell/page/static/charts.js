// Three charts on one time axis with one cursor: slots, pending jobs by task, ends by minute.

import uPlot from "/static/vendor/uPlot.esm.js";
import { at, element } from "./elements.js";
import { MINUTES } from "./store.js";
import { clock } from "./wording.js";

const HEIGHT = 170;
const GAP_MS = 15_000; // nobody looked for longer: no line is drawn over it
const TASKS = 6;
const OTHERS = "(others)";
export const OUTCOMES = [
  ["well", "ended well", "--well", []],
  ["exit", "exit code", "--exit", [6, 3]],
  ["timeout", "timed out", "--timeout", [2, 2]],
  ["crash", "crashed", "--crash", [8, 2, 2, 2]],
  ["lost", "host lost", "--lost", [1, 3]],
  ["other", "other", "--other", [4, 4]],
];
const LINES = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5", "--line-6", "--line-7"];
const DASHES = [[], [6, 3], [2, 2], [8, 2, 2, 2], [1, 3], [4, 4], [10, 3]];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const charts = new Map();

// Makes the chart anew when its series are others than before, else gives it the new data.
function draw(id, title, series, data, range) {
  const known = charts.get(id);
  const key = JSON.stringify(series.map((each) => each.label));
  if (known?.key === key) {
    known.range = range;
    known.plot.setData(data);
    return;
  }
  const box = known?.box ?? element("figure", {}, element("figcaption", {}, title), element("div"));
  if (!known) at("chart-row").append(box);
  known?.plot.destroy();
  const made = { key, box, range };
  const rule = { stroke: colour("--rule"), width: 1 };
  const axis = { stroke: colour("--text"), grid: rule, ticks: rule };
  made.plot = new uPlot(
    {
      width: box.clientWidth || 360,
      height: HEIGHT,
      cursor: { sync: { key: "laulima" }, drag: { x: false, y: false } },
      scales: { x: { range: () => made.range }, y: { range: (_, __, most) => [0, Math.max(1, most * 1.05)] } },
      axes: [
        { ...axis, values: (_, times) => times.map((time) => clock(time * 1000).slice(0, 5)) },
        { ...axis, size: 60 },
      ],
      series: [{ label: "time", value: (_, time) => (time === null ? "--" : clock(time * 1000)) }, ...series],
      legend: { live: true },
    },
    data,
    box.lastChild,
  );
  box.lastChild.setAttribute("role", "img");
  box.lastChild.setAttribute("aria-label", `Chart: ${title}`);
  charts.set(id, made);
}

const line = (label, index, more = {}) => ({
  label,
  stroke: colour(LINES[index % LINES.length]),
  dash: DASHES[index % DASHES.length],
  width: 1.5,
  points: { show: false },
  spanGaps: false,
  ...more,
});

export function drawPoints(store) {
  const range = rangeOf(store);
  const times = [];
  const kept = [];
  for (const point of store.points) {
    const before = times.at(-1);
    if (!store.simulated && before !== undefined && point.at - before * 1000 > GAP_MS) {
      times.push(before + 1);
      kept.push(null);
    }
    times.push(point.at / 1000);
    kept.push(point);
  }
  const column = (value) => kept.map((point) => (point ? value(point) : null));
  draw(
    "slots",
    "Slots",
    [line("busy", 0, { width: 2 }), line("idle", 1), line("of hosts not up", 2)],
    [times, column((p) => p.busy), column((p) => p.idle), column((p) => p.away)],
    range,
  );
  const names = largest(store.points);
  const known = new Set(names);
  const pending = kept.map((point) => (point ? new Map(point.pending) : null));
  const of = (name) => pending.map((counts) => (counts ? (counts.get(name) ?? 0) : null));
  const rest = pending.map((counts) => {
    if (!counts) return null;
    let sum = 0;
    for (const [name, n] of counts) if (!known.has(name)) sum += n;
    return sum;
  });
  const more = rest.some((n) => n);
  draw(
    "pending",
    "Pending jobs by task",
    [...names.map((name, index) => line(name, index)), ...(more ? [line(OTHERS, names.length)] : [])],
    [times, ...names.map(of), ...(more ? [rest] : [])],
    range,
  );
}

// The tasks that had most pending jobs; in the order of their names, so that lines keep their colours.
function largest(points) {
  const most = new Map();
  for (const point of points) for (const [name, n] of point.pending) most.set(name, Math.max(most.get(name) ?? 0, n));
  most.delete(OTHERS);
  const names = [...most].sort((a, b) => b[1] - a[1]).slice(0, TASKS).map(([name]) => name);
  return names.sort();
}

export function drawMinutes(store) {
  const range = rangeOf(store);
  const last = Math.floor(store.now / 60_000);
  const times = [];
  const columns = OUTCOMES.map(() => []);
  for (let minute = last - MINUTES; minute <= last; minute += 1) {
    times.push(minute * 60);
    const counts = store.outcomes(minute);
    let sum = 0;
    OUTCOMES.forEach(([outcome], index) => {
      sum += counts[outcome] ?? 0;
      columns[index].push(sum);
    });
  }
  // Stacked: each series holds what stands below it, too, and the highest is drawn first; the legend says its own part.
  const bars = uPlot.paths.bars({ size: [0.8, 20], align: 1 });
  const own = (index) => (plot, _, __, at) => {
    if (at === null || at === undefined) return "-";
    const [outcome] = OUTCOMES[index];
    return String(store.outcomes(plot.data[0][at] / 60)[outcome] ?? 0);
  };
  const series = OUTCOMES.map(([, label, name], index) => ({
    label,
    fill: colour(name),
    stroke: colour("--ground"),
    width: 1,
    paths: bars,
    points: { show: false },
    value: own(index),
  }));
  draw("minutes", "Ends by minute", series.reverse(), [times, ...columns.reverse()], range);
}

function rangeOf(store) {
  const end = Math.floor(store.now / 60_000 + 1) * 60;
  return [end - MINUTES * 60, end];
}

export function resizeCharts() {
  for (const { plot, box } of charts.values()) plot.setSize({ width: box.clientWidth || 360, height: HEIGHT });
}

export function recolour() {
  for (const { plot, box } of charts.values()) {
    plot.destroy();
    box.remove();
  }
  charts.clear();
}
