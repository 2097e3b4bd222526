// The token, and questions with it. The token comes behind # of the link (a browser never sends that part), is taken out
// of the address at once, and stays in this origin's storage, so that a second tab opens too.

const KEY = "laulima-token";

export function takeToken() {
  const found = /^#token=([\w-]+)$/.exec(location.hash);
  if (found) keepToken(found[1]);
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
}

export function keepToken(token) {
  localStorage.setItem(KEY, token.trim().replace(/^.*#token=/, ""));
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function request(path, { signal, body } = {}) {
  const headers = { Authorization: `Bearer ${localStorage.getItem(KEY) ?? ""}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const method = body === undefined ? "GET" : "POST";
  const answer = await fetch(path, { headers, signal, method, body, credentials: "omit", cache: "no-store" });
  if (answer.ok) return answer;
  let why = `${answer.status} ${answer.statusText}`;
  try {
    const said = await answer.json();
    why = said.hint ? `${said.error} (${said.hint})` : said.error;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // a body that is no JSON says nothing more than the status
  }
  throw new Refused(answer.status, why);
}

export async function ask(path, words = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(words).filter(([, value]) => value !== null && value !== ""));
  return (await request(`/api/${path}?${query}`, { signal })).json();
}

export async function order(words) {
  return (await request("/api/do", { body: JSON.stringify(words) })).json();
}
