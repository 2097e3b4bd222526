// How durations, ages and times are worded: as the command line words them.

export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 0) return `-${duration(-ms)}`;
  if (ms < 1000) return `${Math.floor(ms)} ms`;
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1).replace(/\.0$/, "")} s`;
  if (s < 120) return `${Math.floor(s)} s`;
  const min = s / 60;
  if (min < 120) return `${Math.floor(min)} min`;
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  const h = min / 60;
  if (h < 24) return `${Math.floor(h)} h ${two(min % 60)}`;
  return `${Math.floor(h / 24)}d ${two(h % 24)}:${two(min % 60)}`;
}

// Ages step in whole seconds, so that a table does not flicker.
export function ago(at, now) {
  if (at === null) return "-";
  return now - at < 1000 ? "now" : `${duration(Math.floor((now - at) / 1000) * 1000)} ago`;
}

export function inFuture(at, now) {
  if (at === null) return "-";
  return at - now < 1000 ? "now" : `in ${duration(Math.ceil((at - now) / 1000) * 1000)}`;
}

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
let time = new Intl.DateTimeFormat("en-GB", TIME);

// A simulated run begins at 0, and its times are those since then.
export function countFromStart() {
  time = new Intl.DateTimeFormat("en-GB", { ...TIME, timeZone: "UTC" });
}

export function clock(at) {
  return time.format(new Date(at));
}

export function many(n, one) {
  return `${n} ${one}${n === 1 ? "" : "s"}`;
}
