// The list of incidents beside the one that is open.

import { Refused, ask } from "./api.js";
import { el, fill } from "./dom.js";
import { IncidentView } from "./incident.js";
import { ago, clock, count, ending, headline, kindName, lean, now, several, visible } from "./text.js";
import { VirtualList } from "./virtual.js";

const ROW = 62;
const DAY_MS = 86_400_000;
const STATES = [
  ["open", "Open", (one) => one.status === "open"],
  ["day", "Last day", (one) => one.status === "open" || now() - one.seen < DAY_MS],
  ["all", "All", () => true],
];

export class IncidentsView {
  constructor(incidents, go) {
    this.incidents = incidents;
    this.go = go;
    this.state = "open";
    this.isChosen = false; // a person chose the state
    this.text = "";
    this.current = "";
    this.fresh = new Set();
    this.list = new VirtualList({ rowHeight: ROW, make: makeRow, show: (...row) => this.show(...row), label: "Incidents" });
    this.search = el("input", {
      type: "search",
      placeholder: "Filter by text, service, kind",
      "aria-label": "Filter incidents",
      spellcheck: "false",
      oninput: () => this.type(),
    });
    this.states = el(
      "div",
      { class: "segments", role: "group", "aria-label": "Which incidents" },
      STATES.map(([id, name]) =>
        el("button", { type: "button", "data-state": id, onclick: () => this.choose(id) }, name, " ", el("span", { class: "count" })),
      ),
    );
    this.empty = el("div", { class: "empty", hidden: true });
    this.note = el("p", { class: "note", hidden: true });
    this.detail = el("section", { class: "detail", "aria-label": "Incident" });
    this.view = new IncidentView(this.detail, go);
    this.node = el(
      "div",
      { class: "split" },
      (this.side = el(
        "section",
        { class: "side", "aria-label": "Incidents" },
        el("h1", { class: "unseen" }, "Incidents"),
        el("div", { class: "bar" }, el("div", { class: "search" }, this.search, el("kbd", { "aria-hidden": "true" }, "/")), this.states),
        this.note,
        this.empty,
        this.list.node,
      )),
      this.detail,
    );
    // Ages grow; and services may have learned, or have logged their first line, while there is nothing to list.
    this.timer = setInterval(() => (this.empty.hidden ? this.list.draw(true) : this.filter()), 5_000);
  }

  /** Opens an incident, or none. */
  open(id) {
    const last = this.current;
    this.current = id;
    this.node.classList.toggle("has-detail", id !== "");
    if (id) this.view.open(id).then(() => this.side.offsetParent || this.detail.querySelector("h2")?.focus()); // the list is hidden on a phone
    else if (last || !this.detail.firstChild) this.view.close();
    this.isLinked = id !== last && this.place(id) < 0;
    this.filter();
    const place = this.place(id || last);
    if (place < 0) return;
    this.list.reveal(place);
    if (!id && document.activeElement === document.body) this.list.rows.get(place)?.parts.bar.focus({ preventScroll: true });
  }

  place(id) {
    return this.items().findIndex((one) => one.id === id);
  }

  /** Chooses incidents by the text of a link, such as `#/incidents?q=shop`. */
  look(text) {
    if (text === null || text === this.search.value) return;
    this.search.value = text;
    this.choose("all");
  }

  type() {
    const text = this.search.value.trim();
    if (!this.current) history.replaceState(null, "", `#/incidents${text && `?q=${encodeURIComponent(text)}`}`);
    this.filter();
  }

  /** Takes news: every incident, and those that are new. */
  news(fresh) {
    for (const id of fresh) this.fresh.add(id);
    this.filter();
    if (this.current) this.view.news(this.incidents.byId.get(this.current));
    setTimeout(() => {
      for (const id of fresh) this.fresh.delete(id);
      this.list.draw(true);
    }, 4_000);
  }

  items() {
    return this.list.items;
  }

  choose(state) {
    this.state = state;
    this.isChosen = true;
    this.filter();
  }

  filter() {
    const all = this.incidents.list;
    const linked = this.isLinked && !this.isChosen && this.incidents.byId.get(this.current);
    if (linked) {
      this.state = STATES.find(([, , test]) => test(linked))[0]; // what a link opens is in the list
      this.isChosen = true;
    }
    if (!this.isChosen && this.incidents.isKnown) this.state = all.some((one) => one.status === "open") ? "open" : "day";
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length
      ? all.filter((one) => {
          one.words ??= [one.message, one.service, one.severity, one.status, ending(one.resolution), ...one.kinds?.map(kindName) ?? []].join(" ").toLowerCase();
          return words.every((word) => one.words.includes(word));
        })
      : all;
    for (const [id, , test] of STATES) {
      const button = this.states.querySelector(`[data-state="${id}"]`);
      button.setAttribute("aria-pressed", id === this.state);
      button.querySelector(".count").textContent = count(found.filter(test).length);
    }
    const test = STATES.find(([id]) => id === this.state)[2];
    const shown = found.filter(test);
    this.list.set(shown);
    this.note.hidden = this.incidents.note === "";
    this.note.textContent = this.incidents.note;
    this.empty.hidden = shown.length > 0;
    this.node.classList.toggle("is-empty", shown.length === 0);
    this.list.node.hidden = shown.length === 0;
    if (!shown.length) this.explain(words.length > 0, all.length);
  }

  /** Shows why there is nothing to see, and what to do next. */
  async explain(isFiltered, total) {
    if (!this.incidents.isKnown) return void fill(this.empty, el("p", { class: "muted" }, "Reading incidents…"));
    if (isFiltered || total > 0) {
      const next = isFiltered ? "Shorten the filter, or look at all incidents." : "The ones before are under “All”.";
      return void fill(this.empty, el("h2", {}, isFiltered ? "Nothing matches" : this.state === "open" ? "Nothing is open" : "A quiet day"), el("p", {}, next));
    }
    try {
      const [services, ready] = await Promise.all([ask("/api/v1/services?limit=1"), ask("/readyz", { anyStatus: true })]);
      fill(this.empty, reasons(services, ready));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      fill(this.empty, el("h2", {}, "No incidents yet"), el("p", {}, error.message));
    }
  }

  show(row, one) {
    const { bar, service, badge, time, text, facts, state } = row.parts;
    row.className = `incident-row ${one.severity} ${one.status}`;
    row.classList.toggle("fresh", this.fresh.has(one.id));
    bar.href = `#/incidents/${encodeURIComponent(one.id)}`;
    if (one.id === this.current) bar.setAttribute("aria-current", "true");
    else bar.removeAttribute("aria-current");
    badge.className = `severity ${one.severity}`;
    badge.textContent = one.severity;
    service.textContent = visible(one.service);
    time.textContent = ago(one.seen);
    time.title = clock(one.seen);
    text.textContent = visible(lean(headline(one)));
    const more = [several(one.alerts, "alert")];
    if (one.services > 1) more.push(several(one.services, "service"));
    if (one.recurrence) more.push(`again ×${one.recurrence}`);
    if (one.planned) more.push("planned");
    if (one.status === "expired") more.push("expired");
    if (one.resolution) more.push(ending(one.resolution));
    facts.textContent = more.join(" · ");
    facts.title = ending(one.resolution);
    state.textContent = one.status;
  }

  /** Moves to the next incident of the list, or the one before. */
  step(by) {
    const items = this.items();
    if (!items.length) return;
    const place = items.findIndex((one) => one.id === this.current);
    const next = Math.min(items.length - 1, Math.max(0, place < 0 ? 0 : place + by));
    this.go(`#/incidents/${encodeURIComponent(items[next].id)}`, { replace: true });
  }

  key(event) {
    if (event.key === "j" || event.key === "ArrowDown") this.step(1);
    else if (event.key === "k" || event.key === "ArrowUp") this.step(-1);
    else if (event.key === "/") this.search.focus();
    else if (event.key === "Enter" && this.current) this.detail.querySelector("h2")?.focus();
    else if (event.key === "Escape" && this.current) this.go("#/incidents");
    else return this.current ? this.view.key(event) : false;
    return true;
  }

  close() {
    clearInterval(this.timer);
    this.list.close();
    this.view.close();
  }
}

function makeRow() {
  const parts = {
    badge: el("span", {}),
    service: el("span", { class: "name" }),
    time: el("span", { class: "age" }),
    text: el("span", { class: "line" }),
    facts: el("span", { class: "facts" }),
    state: el("span", { class: "unseen" }),
  };
  parts.bar = el(
    "a",
    { class: "row-link" },
    el("span", { class: "first" }, parts.badge, parts.service, parts.facts, parts.state, parts.time),
    el("span", { class: "second" }, parts.text),
  );
  const row = el("div", { role: "listitem" }, parts.bar);
  row.parts = parts;
  return row;
}

function reasons(services, ready) {
  const { learning, known, noisy } = services.states;
  const all = learning + known + noisy;
  const topics = [...new Set(services.members.flatMap((one) => one.partitions).map((one) => one.topic))];
  const why = [...(ready.reasons ?? []).map((one) => one.message), services.note].filter(Boolean).map((one) => el("p", { class: "note" }, visible(one)));
  if (!all) {
    return [
      el("h2", {}, "No line has arrived yet"),
      why,
      el("p", {}, topics.length ? ["The group reads ", topics.map((one) => el("code", {}, one)), ". "] : "The group has no partition yet. ",
        "Send logs to the input topics: any producer, one line or JSON object a record, the service as its key."),
      el("pre", { class: "code" }, `echo 'shop-api|INFO started' | kafka-console-producer --bootstrap-server localhost:9092 --topic ${topics[0] ?? "logs"} --property parse.key=true --property 'key.separator=|'`),
    ];
  }
  if (!known && !noisy) {
    return [
      el("h2", {}, "Learning what is normal"),
      why,
      el("p", {}, `${several(learning, "service")} ${learning === 1 ? "has" : "have"} not logged enough for an alert. Alerts begin by themselves, service by service.`),
      el("p", {}, el("a", { href: "#/services" }, "See how far each one is"), ", or let them learn faster with ", el("code", {}, "LOGWARDEN_ALERTS__LEARNING"), "."),
    ];
  }
  return [
    el("h2", {}, "All quiet"),
    why,
    el("p", {}, `${several(known + noisy, "service")} ${known + noisy === 1 ? "is" : "are"} watched, ${count(services.lines_per_minute)} lines a minute.`,
      learning ? ` ${several(learning, "service")} still ${learning === 1 ? "learns" : "learn"}.` : ""),
    el("p", { class: "muted" }, "The first incident appears here within a second."),
  ];
}
