// What is known: rows of tasks and hosts by name, points and minutes of the charts, events. Deltas are laid over it;
// whoever draws asks `changed` which parts are new.

export const MINUTES = 60;
const EVENTS_MAX = 300; // of jobs that go well, and as many of everything else, which is rarer and matters more

export class Store {
  constructor() {
    this.now = 0; // the server's wall time of the last delta
    this.received = 0; // our own, of the same moment
    this.answered = null;
    this.trouble = "";
    this.changed = new Set();
    this.clear();
  }

  clear() {
    this.strip = {};
    this.tasks = new Map();
    this.hosts = new Map();
    this.points = [];
    this.minutes = new Map(); // minute -> task -> outcome -> count
    this.events = [];
  }

  // The server's time now, as well as we know it.
  time() {
    return this.simulated ? this.now : this.now + (performance.now() - this.received);
  }

  lay(delta) {
    if (delta.full) {
      this.clear();
      for (const part of ["strip", "tasks", "hosts", "points", "minutes", "events"]) this.changed.add(part);
    }
    this.simulated = delta.simulated;
    this.now = delta.now;
    this.received = performance.now();
    this.answered = delta.answered;
    this.trouble = delta.trouble;
    this.changed.add("head");
    if (delta.strip) this.take("strip", () => (this.strip = delta.strip));
    for (const part of ["tasks", "hosts"]) {
      const rows = delta[part] ?? [];
      if (rows.length) this.take(part, () => rows.forEach((row) => this[part].set(row.name, row)));
      const order = delta[`${part}_order`];
      if (order) this.take(part, () => (this[part] = ordered(this[part], order)));
    }
    for (const point of delta.points ?? []) this.take("points", () => this.addPoint(point));
    for (const entry of delta.minutes ?? []) this.take("minutes", () => this.addMinute(...entry));
    if (delta.events?.length) {
      this.take("events", () => this.addEvents(delta.events));
    }
    const oldest = Math.floor(this.now / 60_000) - MINUTES;
    for (const minute of this.minutes.keys()) if (minute < oldest) this.minutes.delete(minute);
    while (this.points.length && this.points[0].at < oldest * 60_000) this.points.shift();
  }

  take(part, change) {
    change();
    this.changed.add(part);
  }

  addPoint(point) {
    if (this.points.at(-1)?.at === point.at) this.points.pop();
    this.points.push(point);
  }

  addMinute(minute, task, outcome, count) {
    if (!this.minutes.has(minute)) this.minutes.set(minute, new Map());
    const tasks = this.minutes.get(minute);
    if (!tasks.has(task)) tasks.set(task, {});
    tasks.get(task)[outcome] = count;
  }

  addEvents(events) {
    const isUsual = (event) => event.kind === "job" && !event.bad;
    const all = [...this.events, ...events];
    let tooMany = all.filter(isUsual).length - EVENTS_MAX;
    let tooManyOthers = all.length - all.filter(isUsual).length - EVENTS_MAX;
    this.events = all.filter((event) => (isUsual(event) ? (tooMany -= 1) < 0 : (tooManyOthers -= 1) < 0));
  }

  // Of the last hour, by outcome; of one task, or of all.
  outcomes(minute, task = null) {
    const tasks = this.minutes.get(minute);
    if (!tasks) return {};
    if (task !== null) return tasks.get(task) ?? {};
    const sum = {};
    for (const counts of tasks.values()) {
      for (const [name, n] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + n;
    }
    return sum;
  }
}

function ordered(rows, names) {
  return new Map(names.filter((name) => rows.has(name)).map((name) => [name, rows.get(name)]));
}
