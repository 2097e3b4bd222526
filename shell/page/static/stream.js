// The event stream: everything first, then what is new; opened again, after ever longer pauses, when it ends. It is read
// with fetch, for EventSource cannot send the token. While the tab is hidden nobody looks, and there is none: the server
// is not asked for nothing, and a browser has few connections for all tabs together.

import { Refused, request } from "./access.js";

const PAUSE_MS = 500;
const PAUSE_MAX_MS = 10_000;
const SILENT_MS = 15_000; // the server speaks twice a second; a stream that is silent for so long is dead

export async function follow(path, onDelta, onTrouble) {
  let pause = PAUSE_MS;
  for (;;) {
    await untilVisible();
    const ending = new AbortController();
    const hide = () => document.hidden && ending.abort();
    document.addEventListener("visibilitychange", hide);
    let watchdog = 0;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => ending.abort(), SILENT_MS);
    };
    try {
      alive();
      const answer = await request(path, { signal: ending.signal });
      for await (const delta of deltas(answer.body, alive)) {
        pause = PAUSE_MS;
        onDelta(delta);
      }
      onTrouble("the page's own server has ended");
    } catch (error) {
      if (error instanceof Refused && error.status < 500) throw error; // the token; trying again helps nobody
      if (document.hidden) continue;
      onTrouble(error instanceof Refused ? error.message : "the page's own server does not answer (laulima serve)");
    } finally {
      clearTimeout(watchdog);
      document.removeEventListener("visibilitychange", hide);
    }
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(PAUSE_MAX_MS, pause * 2);
  }
}

export function untilVisible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
  });
}

async function* deltas(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) if (event.startsWith("data: ")) yield JSON.parse(event.slice(6));
  }
}
