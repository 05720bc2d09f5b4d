/* The daemon: requests, and the events that it sends. */

export const session = { permit: "", run: "", version: "", types: [], patterns: [], usual: {}, measures: [] };

export class Failure extends Error {
  constructor(status, code, text) {
    super(text);
    Object.assign(this, { status, code });
  }
}

async function answered(asked) {
  const response = await asked.catch(() => {
    throw new Failure(0, "away", "The daemon does not answer; this page goes on when it is back");
  });
  if (response.ok) return response;
  const text = await response.text();
  let told = { code: "refused", text };
  try {
    told = JSON.parse(text);
  } catch {
    /* the door answers in plain text */
  }
  throw new Failure(response.status, told.code, told.text);
}

export async function get(path) {
  return (await answered(fetch(path))).json();
}

export async function bytes(path) {
  return (await answered(fetch(path))).arrayBuffer();
}

export async function post(path, body = {}) {
  const headers = { "content-type": "application/json", "x-samplefit": session.permit };
  return (await answered(fetch(path, { method: "POST", headers, body: JSON.stringify(body) }))).json();
}

export async function upload(path, form) {
  return (await answered(fetch(path, { method: "POST", headers: { "x-samplefit": session.permit }, body: form }))).json();
}

export async function begin() {
  Object.assign(session, await get("/api/session"));
}

/** Listens until the page is left; `lost` is told when the daemon is away, `hello` whenever it is back. */
export function listen(handlers) {
  const source = new EventSource("/api/events");
  for (const [event, handler] of Object.entries(handlers)) {
    if (event !== "lost") source.addEventListener(event, (message) => handler(JSON.parse(message.data)));
  }
  source.onerror = () => {
    handlers.lost();
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(handlers), 1000);
  };
}
