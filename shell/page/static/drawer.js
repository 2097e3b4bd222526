// The drawer: all about one task, host or job. Why, what would change it, its story, its jobs, what it wrote; and, with
// the right token, what can be done to it. Asked anew while it is open; a log is followed.

import { ask, order } from "./access.js";
import { at, element, place, setText, show } from "./elements.js";
import { untilVisible } from "./stream.js";
import { duration, many } from "./wording.js";

const AGAIN_MS = 2000;
const TAIL_MS = 1000;
const TEXT_MAX = 512 * 1024; // of a log, in the page; the rest: laulima logs
const ACTIONS = {
  task: ["hold", "release"],
  job: ["hold", "release", "kill", "retry"],
  host: ["drain", "off", "on", "retry"],
};
const ASKS_FIRST = new Set(["kill", "off", "drain"]);

export class Drawer {
  // `moment`: of a simulated run, when (ms); else null.
  constructor(open, mayAct, moment) {
    this.open = open;
    this.mayAct = mayAct;
    this.moment = moment;
    this.what = "";
    this.ending = null;
  }

  // `what` is job:12, task:NAME or host:NAME; empty: closed.
  show(what, focus = false) {
    if (what === this.what) return;
    this.ending?.abort();
    this.what = what;
    show(at("drawer"), Boolean(what));
    document.body.classList.toggle("drawn", Boolean(what));
    show(at("drawer-answer"), false);
    if (!what) return;
    const [about, name] = [what.slice(0, what.indexOf(":")), what.slice(what.indexOf(":") + 1)];
    setText(at("drawer-title"), `${about} ${name}`);
    this.drawActions(about, name);
    this.ending = new AbortController();
    const parts = { why: element("section", { class: "why" }, element("p", { class: "quiet" }, "…")) };
    parts.log = about === "job" && this.moment() === null ? element("section", { class: "log" }) : null;
    parts.jobs = about === "job" ? null : element("section", { class: "jobs" });
    parts.story = element("section", { class: "story" });
    place(at("drawer-body"), [parts.why, parts.log, parts.jobs, parts.story].filter(Boolean));
    this.follow(about, name, parts, this.ending.signal);
    if (parts.log) this.tail(Number(name), parts.log, this.ending.signal);
    if (focus) at("drawer-title").focus();
  }

  async follow(about, name, parts, signal) {
    while (!signal.aborted) {
      await this.draw(about, name, parts, signal);
      await pause(AGAIN_MS, signal);
      await untilVisible();
    }
  }

  async draw(about, name, parts, signal) {
    try {
      const when = { at: this.moment() };
      const found = await ask("explain", { about, name, ...when }, signal);
      drawWhy(parts.why, found);
      drawStory(parts.story, found.story, about);
      if (parts.jobs) this.drawJobs(about, parts.jobs, await ask("jobs", { [about]: name, ...when }, signal));
    } catch (error) {
      if (!signal.aborted) place(parts.why, [element("p", { class: "bad" }, `▲ ${error.message}`)]);
    }
  }

  drawJobs(about, section, { live, ended, trouble }) {
    const what = (row) => [about === "host" ? row.task : "", row.item ?? ""].filter(Boolean).join(" ");
    const link = (job) =>
      element("button", { type: "button", class: "link", onclick: () => this.open(`job:${job}`) }, String(job));
    const rows = live.map((row) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, link(row.job)),
        element("td", {}, what(row)),
        element("td", {}, row.state),
        element("td", {}, row.host),
        element("td", { class: "n" }, duration(row.for)),
        element("td", { class: "why", title: row.why }, row.why),
      ),
    );
    const past = ended.map((row) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, link(row.job)),
        element("td", {}, what(row)),
        element("td", { class: row.outcome === "EXITED" && row.exit_code === 0 ? "good" : "bad" }, outcome(row)),
        element("td", {}, row.host),
        element("td", { class: "n" }, duration(row.ran)),
        element("td", { class: "why", title: row.reason }, row.reason),
      ),
    );
    place(section, [
      trouble ? element("p", { class: "bad" }, `▲ ${trouble}`) : null,
      ...table("Jobs that are not final", live.length, rows),
      ...table("Ended", ended.length, past),
    ].filter(Boolean));
  }

  async tail(job, section, signal) {
    const choice = element(
      "select",
      { "aria-label": "Which output" },
      element("option", { value: "stdout" }, "output"),
      element("option", { value: "stderr" }, "errors"),
    );
    const about = element("span", { class: "quiet" });
    const text = element("pre", { tabIndex: 0, role: "region", "aria-label": "What the job wrote" });
    place(section, [element("div", { class: "bar" }, element("h3", {}, "Log"), choice, about), text]);
    let reading = new AbortController();
    signal.addEventListener("abort", () => reading.abort());
    choice.onchange = () => {
      reading.abort();
      reading = new AbortController();
      text.textContent = "";
      followLog(job, choice.value, text, about, reading.signal);
    };
    followLog(job, choice.value, text, about, reading.signal);
  }

  drawActions(about, name) {
    show(at("drawer-actions"), this.mayAct);
    if (!this.mayAct) return;
    const reason = element("input", { type: "text", maxLength: 500, placeholder: "why", "aria-label": "Reason" });
    const buttons = ACTIONS[about].map((verb) => {
      const button = element("button", { type: "button", data: { verb } }, verb);
      button.onclick = () => this.act(button, { do: verb, about, name, reason: reason.value });
      return button;
    });
    place(at("drawer-actions"), [reason, ...buttons]);
  }

  async act(button, words) {
    if (ASKS_FIRST.has(words.do) && button.dataset.sure !== "yes") {
      button.dataset.sure = "yes";
      button.textContent = `${words.do}: sure?`;
      return;
    }
    button.dataset.sure = "";
    button.textContent = words.do;
    button.disabled = true;
    const answer = at("drawer-answer");
    try {
      const { text } = await order(words);
      setText(answer, text);
      answer.className = "good";
    } catch (error) {
      setText(answer, `▲ ${error.message}`);
      answer.className = "bad";
    }
    show(answer, true);
    button.disabled = false;
  }
}

async function followLog(job, stream, text, about, signal) {
  let begin = null;
  let attempt = null;
  while (!signal.aborted) {
    let more = false;
    try {
      const piece = await ask("output", { job, stream, begin, attempt: null }, signal);
      if (signal.aborted) return;
      if (piece.attempt !== attempt && attempt !== null) {
        text.textContent = "";
        begin = null;
        attempt = piece.attempt;
        continue;
      }
      attempt = piece.attempt;
      const below = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
      if (piece.text) text.append(piece.text);
      if (text.textContent.length > TEXT_MAX) text.textContent = text.textContent.slice(-TEXT_MAX / 2);
      if (below) text.scrollTop = text.scrollHeight;
      begin = piece.end;
      more = piece.end < piece.total && piece.text !== "";
      const where = piece.host ? ` on ${piece.host}` : "";
      setText(about, `attempt ${piece.attempt}${where}, ${many(piece.total, "byte")}${piece.running ? ", live" : ""}`);
    } catch (error) {
      if (signal.aborted) return;
      setText(about, error.message);
    }
    if (!more) await pause(TAIL_MS, signal);
    await untilVisible();
  }
}

function drawWhy(section, found) {
  const list = (name, entries) => entries.map((entry) => element("li", {}, entry));
  const until = found.until_ns === null ? "" : `changes by itself in ${duration(found.until_ns / 1e6)} at the earliest`;
  place(section, [
    element("h3", {}, "Why"),
    element("p", {}, element("strong", {}, found.state), ` for ${duration(found.since_ns / 1e6)}`),
    element("ol", {}, ...list("reasons", found.reasons)),
    until ? element("p", { class: "quiet" }, until) : null,
    found.changes.length ? element("h3", {}, "What would change it") : null,
    found.changes.length ? element("ul", {}, ...list("changes", found.changes)) : null,
  ].filter(Boolean));
}

function drawStory(section, story, about) {
  const title = about === "job" ? "Story" : "Lately";
  place(
    section,
    story.length ? [element("h3", {}, title), element("ol", {}, ...story.map((text) => element("li", {}, text)))] : [],
  );
}

function table(title, count, rows) {
  if (!count) return [];
  const head = ["Job", "What", "State", "Host", "For", "Why"].map((name) => element("th", { scope: "col" }, name));
  return [
    element("h3", {}, `${title} (${count})`),
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)),
  ];
}

function outcome(row) {
  if (row.outcome === "EXITED") return `exit ${row.exit_code}`;
  return row.signal === null ? row.outcome : `${row.outcome} (signal ${row.signal})`;
}

function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    }, { once: true });
  });
}
