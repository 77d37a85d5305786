// The frame: which view is shown, keys, theme, and the state of the connection.

import { askForToken } from "./api.js";
import { byId, el, fill, isTyping } from "./dom.js";
import { FeedbackView } from "./feedback.js";
import { IncidentsView } from "./incidents.js";
import { Incidents, follow } from "./live.js";
import { count, headline, lean, visible } from "./text.js";
import { ServicesView } from "./services.js";

const KEYS = [
  ["j  k", "next and previous incident"],
  ["Enter", "read the incident"],
  ["[  ]", "previous and next line of the incident"],
  ["e  r  m", "expected, real fault, mute for…"],
  ["c", "copy the incident with its link"],
  ["/", "filter"],
  ["1  2  3", "incidents, services, feedback"],
  ["t", "dark or light"],
  ["Esc", "close, or back"],
  ["?", "these keys"],
];
const STATES = { connecting: "connecting", live: "live", polling: "every 5 s", away: "disconnected", refused: "refused" };

const incidents = new Incidents();
let view = null;
let name = "";

function go(hash, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", hash);
  else history.pushState(null, "", hash);
  route();
}

function route() {
  const [path, query = ""] = location.hash.split("?");
  const [, wanted = "incidents", id = ""] = path.split("/");
  const next = ["services", "feedback"].includes(wanted) ? wanted : "incidents";
  if (next !== name) {
    view?.close();
    name = next;
    view = name === "services" ? new ServicesView() : name === "feedback" ? new FeedbackView() : new IncidentsView(incidents, go);
    fill(byId("main"), view.node);
    if (name === "incidents") view.filter();
    for (const link of document.querySelectorAll("nav a")) {
      if (link.dataset.view === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
  if (name === "incidents") {
    view.look(new URLSearchParams(query).get("q"));
    view.open(decoded(id));
  }
  title();
}

function decoded(id) {
  try {
    return decodeURIComponent(id);
  } catch {
    return id; // a link that was cut: no incident has this id, which the page then states
  }
}

function title() {
  byId("count-open").textContent = incidents.open ? count(incidents.open) : "";
  const one = name === "incidents" && incidents.byId.get(view.current);
  const words = one ? `${visible(one.service)}: ${visible(lean(headline(one)))}`.slice(0, 100) : "";
  document.title = `${incidents.open ? `(${incidents.open}) ` : ""}${words && `${words} · `}logwarden`;
}

let frame = 0;
const fresh = new Set();

function take(event, data) {
  for (const id of incidents.take(event, data)) fresh.add(id);
  frame ||= setTimeout(() => {
    frame = 0;
    if (name === "incidents") view.news([...fresh]);
    title();
    fresh.clear();
  }, 16);
}

function report(state, sentence) {
  const node = byId("state");
  if (node.dataset.state !== state) {
    node.dataset.state = state;
    node.textContent = STATES[state];
  }
  const banner = byId("banner");
  banner.hidden = !(state === "away" || state === "refused");
  if (banner.dataset.sentence === sentence) return; // what is said once is not said again
  banner.dataset.sentence = sentence;
  fill(banner, sentence, " ", state === "refused" && el("button", { type: "button", onclick: () => askForToken(sentence) }, "Enter the token"));
}

// ---------------------------------------------------------------- theme and keys

function theme(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen;
  try {
    if (chosen) localStorage.setItem("logwarden-theme", chosen);
    return localStorage.getItem("logwarden-theme");
  } catch {
    return null; // a browser without storage follows the system
  }
}

function switchTheme() {
  const isDark = (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  theme(isDark ? "light" : "dark");
}

function help() {
  const box = el("dialog", { class: "box keys", "aria-labelledby": "keys-title" }, el("h2", { id: "keys-title" }, "Keys"),
    el("dl", {}, KEYS.map(([keys, meaning]) => el("div", {}, el("dt", {}, keys.split("  ").map((key) => el("kbd", {}, key))), el("dd", {}, meaning)))),
    el("form", { method: "dialog", class: "row end" }, el("button", { class: "primary" }, "Close")));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

function keydown(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape" && event.target.matches("input[type=search]")) event.target.blur();
    return;
  }
  const isOnControl = event.target instanceof HTMLElement && event.target.matches("button, a");
  if (event.key === "Enter" && isOnControl) return;
  if (event.key === "?") help();
  else if (event.key === "t") switchTheme();
  else if (event.key === "1" || event.key === "2" || event.key === "3") go(["#/incidents", "#/services", "#/feedback"][event.key - 1]);
  else if (!view?.key(event)) return;
  event.preventDefault();
}

const kept = theme();
if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
byId("theme").addEventListener("click", switchTheme);
byId("help").addEventListener("click", help);
addEventListener("keydown", keydown);
addEventListener("hashchange", route);
addEventListener("popstate", route);
route();
follow(take, report);
