// Asks the daemon. The token is kept in this tab only, and is sent as a header, which no other site can make a browser do.

import { el, fill } from "./dom.js";
import { setClock } from "./text.js";

const KEY = "logwarden-token";
let token = read();
const waiting = []; // called when a person gives a token

function read() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** Resolves once a person has given a token. */
export const tokenGiven = () => new Promise((resolve) => waiting.push(resolve));

export function setToken(value, isKept) {
  token = value;
  try {
    if (isKept && value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // a browser without storage keeps the token in memory
  }
  for (const resolve of waiting.splice(0)) resolve(true);
}

export const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

/** An answer that is a refusal: `code` for programs, `message` for people. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Returns the JSON of an answer. Throws Refused. */
export async function ask(path, { method = "GET", body, signal, anyStatus = false } = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      signal,
      headers: { ...headers(), ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body && JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, "unreachable", "The daemon does not answer. Check that it runs and is reachable.");
  }
  setClock(answer.headers.get("Date"));
  const found = await answer.json().catch(() => ({}));
  if (answer.ok || anyStatus) return found;
  throw refusal(answer.status, found);
}

export function refusal(status, found) {
  const error = found?.error ?? {};
  if (status === 401) error.message = token ? "The daemon refused the token. Enter the right one." : "This daemon shows its data with its token only.";
  return new Refused(status, error.code ?? "failed", error.message ?? `The daemon answered with status ${status}.`);
}

/** Writes, and asks for the token where it is missing or wrong. Returns null if the person gives up. */
export async function write(path, options) {
  for (;;) {
    try {
      return await ask(path, options);
    } catch (error) {
      if (error.status !== 401) throw error;
      if (!(await askForToken(error.message))) return null;
    }
  }
}

/** Asks a person for the token. Resolves to true once there is one. */
export function askForToken(reason) {
  return new Promise((resolve) => {
    const input = el("input", { type: "password", id: "token", autocomplete: "off", required: true, spellcheck: "false" });
    const keep = el("input", { type: "checkbox", id: "keep" });
    const box = el(
      "dialog",
      { class: "box", "aria-labelledby": "token-title" },
      el(
        "form",
        { method: "dialog" },
        el("h2", { id: "token-title" }, "Token"),
        el("p", {}, reason),
        el("p", { class: "muted" }, "It is the content of LOGWARDEN_HTTP__TOKEN_FILE, or LOGWARDEN_HTTP__TOKEN."),
        el("label", { for: "token" }, "Token of this daemon"),
        input,
        el("label", { class: "check", for: "keep" }, keep, "Keep it until this tab is closed"),
        el(
          "div",
          { class: "row end" },
          el("button", { type: "button", onclick: () => box.close() }, "Cancel"),
          el("button", { type: "submit", value: "ok", class: "primary" }, "Use it"),
        ),
      ),
    );
    box.addEventListener("close", () => {
      const given = box.returnValue === "ok" && input.value.trim();
      if (given) setToken(input.value.trim(), keep.checked);
      fill(box);
      box.remove();
      resolve(Boolean(given));
    });
    document.body.append(box);
    box.showModal();
    input.focus();
  });
}
