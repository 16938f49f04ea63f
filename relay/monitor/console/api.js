// Questions to the relay. The token lives as long as the tab does, and goes in a header only.

const KEY = "outbox-relay-token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

// An answer that is no success is thrown: {status, message}; status 0 is none at all.
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options) {
  const headers = { ...options.headers };
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  let answer, body;
  try {
    answer = await fetch(`../api/${path}`, { ...options, headers, cache: "no-store", redirect: "error" });
    body = await answer.json();
  } catch (error) {
    throw new Refusal(answer?.status ?? 0, "the relay does not answer");
  }
  if (!answer.ok) throw new Refusal(answer.status, body.error ?? `HTTP ${answer.status}`);
  return body;
}

export const get = (path, query = {}) => {
  const text = new URLSearchParams(query).toString();
  return ask(text ? `${path}?${text}` : path, {});
};

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
