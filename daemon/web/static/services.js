// Services: how well each is known, how much it logs, and how odd it was lately.

import { Refused, ask } from "./api.js";
import { history } from "./charts.js";
import { el, fill, svg } from "./dom.js";
import { ago, clock, count, millis, now, several, visible } from "./text.js";
import { VirtualList } from "./virtual.js";

const ROW = 38;
const PAGE = 1000;
const AGAIN_MS = 10_000;
const SOON_MS = 2_000; // while there is no service yet
const PICTURES = 30; // names of a request
const NAME_CHARS = 256; // of the longest name that the API looks for
const QUERY_CHARS = 6_000; // a request line has 8 kB
const PICTURE_MS = 30_000; // age up to which a picture stays
const STATES = [["", "All"], ["learning", "Learning"], ["noisy", "Noisy"], ["known", "Known"]];
const ADVICE = {
  learning: " Too little is known of these for an alert. LOGWARDEN_ALERTS__LEARNING lets them learn faster.",
  noisy: " Three in ten of their lines were new, so a new line says little. Mask what changes (LOGWARDEN_INPUT__MASKS), or split the service.",
};
const RANK = { learning: 0, noisy: 1, known: 2 };

export class ServicesView {
  constructor() {
    this.all = [];
    this.state = "";
    this.control = new AbortController();
    this.pictures = new Map(); // key of a service → when its history was read, and the history
    this.list = new VirtualList({ rowHeight: ROW, make: makeRow, show: (row, one) => show(row, one, this.pictures.get(keyOf(one))?.history), onrest: () => this.draw(), label: "Services", isTable: true, keyOf });
    this.search = el("input", { type: "search", placeholder: "Filter by name or topic", "aria-label": "Filter services", spellcheck: "false", oninput: () => this.filter() });
    this.states = el("div", { class: "segments", role: "group", "aria-label": "Which services" }, STATES.map(([id, name]) =>
      el("button", { type: "button", "data-state": id, onclick: () => { this.state = id; this.filter(); } }, name, " ", el("span", { class: "count" }))));
    this.empty = el("div", { class: "empty", hidden: true });
    this.about = el("p", { class: "muted about" });
    this.note = el("p", { class: "note", role: "status", hidden: true }); // which members do not answer
    this.members = el("div", { class: "members", role: "table", "aria-label": "Members" });
    this.group = el("details", { class: "group", hidden: true }, el("summary", {}, "Members"), this.members);
    this.head = el("div", { class: "service-row head", role: "row" }, ["Service", "State", "Lines", "Known", "Lines/min", "Half an hour", "Last line", "Last alert"].map((name) => el("span", { role: "columnheader" }, name)));
    this.table = el("div", { class: "table", role: "table", "aria-label": "Services", hidden: true }, this.head, this.list.node);
    this.node = el("div", { class: "page services" },
      el("div", { class: "bar" }, el("h1", { class: "unseen" }, "Services"), el("div", { class: "search" }, this.search, el("kbd", { "aria-hidden": "true" }, "/")), this.states),
      this.about, this.note, this.group, this.empty, this.table);
    this.load();
  }

  async load() {
    const { signal } = this.control;
    try {
      const found = [];
      let answer;
      for (let after = ""; after !== null; after = answer.next) {
        answer = await ask(`/api/v1/services?limit=${PAGE}${after && `&after=${after}`}`, { signal });
        found.push(...answer.services);
        if (!this.all.length) this.show(found, answer); // the first pages at once
      }
      this.show(found, answer);
      this.all = found;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refused)) throw error;
      if (this.answer) this.warn(`${error.message} The services below are of ${clock(this.at)}.`);
      else {
        this.empty.hidden = false;
        fill(this.empty, el("h2", {}, "No services to show"), el("p", {}, error.message));
      }
    }
    if (!signal.aborted) this.timer = setTimeout(() => this.load(), this.all.length ? AGAIN_MS : SOON_MS);
  }

  /** Reads the histories of the services in sight, when the list rests. */
  async draw() {
    const at = Date.now();
    const due = this.list.visible().filter((one) => one.name.length <= NAME_CHARS && !(at - this.pictures.get(keyOf(one))?.at < PICTURE_MS));
    if (!due.length || this.isDrawing) return;
    const query = new URLSearchParams([["history", "true"], ["limit", "1000"]]);
    const names = new Set();
    for (const { name } of due) {
      if (names.has(name)) continue;
      if (names.size === PICTURES || `${query}`.length > QUERY_CHARS) break; // the rest comes with the next request
      names.add(name);
      query.append("service", name);
    }
    const wanted = due.filter((one) => names.has(one.name));
    this.isDrawing = true;
    try {
      const found = await ask(`/api/v1/services?${query}`, { signal: this.control.signal });
      if (this.pictures.size > 2000) this.pictures.clear();
      for (const one of wanted) this.pictures.set(keyOf(one), { at });
      for (const one of found.services) this.pictures.set(keyOf(one), { at, history: one.history });
      this.list.draw(true);
    } catch (error) {
      if (!(error instanceof Refused) && !this.control.signal.aborted) throw error; // without pictures the figures stay
    } finally {
      this.isDrawing = false;
    }
  }

  show(found, answer) {
    this.found = found.sort((a, b) => RANK[a.state] - RANK[b.state] || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    this.answer = answer;
    this.at = now();
    const { members, note } = answer;
    this.warn(note);
    this.group.hidden = members.length < 2;
    fill(this.members, memberRow("columnheader", ["Member", "Partitions", "Services", "Learning", "Lines/min", "Version"]), members.map((one) => memberRow("cell", cells(one))));
    this.filter();
  }

  warn(sentence) {
    this.note.hidden = sentence === "";
    if (this.note.textContent !== visible(sentence)) this.note.textContent = visible(sentence);
  }

  filter() {
    if (!this.answer) return;
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = this.found.filter((one) => words.every((word) => `${one.name} ${one.topic}`.toLowerCase().includes(word)));
    for (const button of this.states.children) {
      const id = button.getAttribute("data-state");
      button.setAttribute("aria-pressed", id === this.state);
      button.querySelector(".count").textContent = count(id ? chosen.filter((one) => one.state === id).length : chosen.length);
    }
    const shown = this.state ? chosen.filter((one) => one.state === this.state) : chosen;
    const { member, members, lines_per_minute: rate } = this.answer;
    const partitions = members.reduce((sum, one) => sum + one.partitions.length, 0);
    this.about.textContent = `${several(this.found.length, "service")} of ${several(members.length, "member")} (group ${member.group}, ${several(partitions, "partition")}), ${count(rate)} lines a minute.${ADVICE[this.state] ?? ""}`;
    this.empty.hidden = shown.length > 0;
    this.table.hidden = shown.length === 0;
    this.table.setAttribute("aria-rowcount", shown.length + 1);
    if (!shown.length) {
      fill(this.empty, el("h2", {}, this.found.length ? "Nothing matches" : "No service has logged yet"),
        el("p", {}, this.found.length ? "Shorten the filter, or choose another state." : "Services appear with their first line. Check the producers, and the input topics of the settings."));
    }
    this.list.set(shown);
  }

  key(event) {
    if (event.key === "/") this.search.focus();
    else if (event.key === "j" || event.key === "k") this.list.node.scrollBy({ top: event.key === "j" ? ROW : -ROW });
    else return false;
    return true;
  }

  close() {
    this.control.abort();
    clearTimeout(this.timer);
    this.list.close();
  }
}

const keyOf = (one) => `${one.topic}/${one.partition}/${one.name}`;

const cells = ({ name, partitions, states, lines_per_minute: rate, version, missing }) => [
  [visible(name), missing && el("small", {}, visible(missing))],
  count(partitions.length),
  states ? count(states.learning + states.known + states.noisy) : "–",
  states ? count(states.learning) : "–",
  rate === null ? "–" : count(rate),
  version ?? "–",
];

const memberRow = (role, texts) => el("div", { role: "row" }, texts.map((text) => el("span", { role }, text)));

function makeRow() {
  const cells = ["lines", "known", "rate", "seen", "alert"];
  const parts = Object.fromEntries(["topic", "state", "bar", ...cells].map((name) => [name, el("span", { class: `cell-${name}`, role: cells.includes(name) && "cell" })]));
  parts.name = el("a", { class: "cell-name" }); // leads to the incidents of the service
  parts.picture = svg("svg", { class: "spark", viewBox: "0 0 120 24", preserveAspectRatio: "none", role: "img" });
  const row = el("div", { role: "row", class: "service-row" }, el("span", { class: "who", role: "cell" }, parts.name, parts.topic), el("span", { class: "learned", role: "cell" }, parts.state, parts.bar),
    parts.lines, parts.known, parts.rate, el("span", { class: "cell-picture", role: "cell" }, parts.picture), parts.seen, parts.alert);
  row.parts = parts;
  return row;
}

function show(row, one, past) {
  const { parts } = row;
  row.className = `service-row ${one.state}`;
  parts.name.textContent = parts.name.title = visible(one.name);
  parts.name.href = `#/incidents?q=${encodeURIComponent(one.name)}`;
  parts.topic.textContent = `${one.topic}/${one.partition}`;
  parts.state.textContent = one.state === "learning" ? `learning ${Math.floor(100 * one.progress)} %` : one.state;
  parts.bar.style.setProperty("--share", one.progress);
  parts.bar.hidden = one.state !== "learning";
  parts.lines.textContent = count(one.lines);
  parts.known.textContent = count(one.known_lines);
  parts.rate.textContent = count(one.lines_per_minute);
  history(parts.picture, past, one.name);
  parts.seen.textContent = ago(millis(one.last_seen)) || "–";
  parts.alert.textContent = one.last_alert ? [ago(millis(one.last_alert.timestamp)), `score ${one.last_alert.score.toFixed(2)}`].filter(Boolean).join(", ") : "–";
}
