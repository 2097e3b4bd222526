// What is open and filtered stands in the address, so that a link shows the same and Back goes back.

const NAMES = ["open", "filter", "events", "bad", "at"];

export function read() {
  const words = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.map((name) => [name, words.get(name) ?? ""]));
}

// `step`: Back comes back to what was before.
export function write(changes, step = false) {
  const words = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) words.set(name, value);
    else words.delete(name);
  }
  const query = words.toString();
  const address = location.pathname + (query ? `?${query}` : "");
  if (address === location.pathname + location.search) return;
  if (step) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}
