// One incident: what broke first, its lines with their evidence, and what people can say about it.

import { Refused, ask } from "./api.js";
import { judge, mute } from "./feedback.js";
import { copy, el, fill, logLine, moment, severityBadge, toast } from "./dom.js";
import { ago, clock, count, ending, headline, kindMeaning, kindName, lasting, millis, several, visible, zone } from "./text.js";
import { bars } from "./charts.js";
import { WindowPanel } from "./window.js";

const GATES = [
  ["failure", "failure", "A line states a level of failure, or names one."],
  ["extent", "extent", "Three distinct lines, or five minutes."],
  ["novelty", "novelty", "A line is new to its service, or nearly so."],
  ["calm", "calm before", "A service logged few odd lines just before."],
];

export class IncidentView {
  constructor(node, go) {
    this.node = node;
    this.go = go;
    this.id = "";
    this.revision = 0;
    this.record = null;
    this.line = -1; // place of the line whose window is shown
    this.panel = new WindowPanel();
  }

  async open(id) {
    if (id === this.id) return;
    this.id = id;
    this.line = -1;
    this.record = null;
    this.panel.node = null;
    this.node.scrollTop = 0;
    await this.load();
  }

  close() {
    this.id = "";
    this.record = null;
    fill(this.node, el("div", { class: "empty" }, el("p", { class: "muted" }, "Choose an incident, or press ", el("kbd", {}, "j"), ".")));
  }

  /** Takes the short form of the incident after a change. */
  news(brief) {
    if (this.record ? brief && brief.revision !== this.record.logwarden.revision : this.failure && (brief || this.failure !== 404)) this.load();
  }

  async load() {
    const id = this.id;
    this.failure = 0;
    try {
      const found = await ask(`/api/v1/incident?id=${encodeURIComponent(id)}`);
      if (id !== this.id) return; // another one was opened meanwhile
      const isNew = this.record === null;
      this.record = found.incident;
      this.similar = found.similar;
      if (isNew) this.line = worst(found.incident.logwarden.lines);
      this.draw();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (id !== this.id) return;
      this.failure = error.status || 1; // and is read again with the next news: the daemon may be back, or have its token
      if (this.record === null) fill(this.node, back(), el("div", { class: "empty" }, el("h2", {}, "This incident cannot be shown"), el("p", {}, error.message)));
    }
  }

  /** Draws it anew. What had the focus has it again: a person with a keyboard must not begin at the top at each change. */
  draw() {
    const places = () => [...this.node.querySelectorAll("h2, a, button, summary")];
    const at = places().indexOf(document.activeElement);
    const top = this.panel.box?.scrollTop;
    this.build();
    if (this.panel.box) this.panel.box.scrollTop = top; // what is taken out and put back is at its top
    if (at >= 0) places()[at]?.focus({ preventScroll: true });
  }

  build() {
    const { record } = this;
    const facts = record.logwarden;
    const first = millis(facts.first_seen);
    const last = millis(facts.last_seen);
    const guilty = facts.lines[worst(facts.lines)];
    fill(
      this.node,
      back(),
      el(
        "header",
        { class: `incident-head ${facts.severity}` },
        el("p", { class: "tags" }, severityBadge(facts.severity), el("span", { class: `status ${facts.status}` }, facts.status),
          (facts.kinds ?? []).map(kindBadge),
          facts.planned && el("span", { class: "kind" }, `planned: ${visible(facts.planned.reason || facts.planned.id)}`),
          facts.resolution && el("span", { class: "kind", title: visible(facts.resolution.feedback) }, ending(facts.resolution))),
        el("h2", { tabindex: "-1" }, el("span", { class: "where" }, visible(guilty?.service ?? record.service.name)),
          el("span", { class: "guilty" }, el("span", { class: "clamp" }, logLine(guilty?.text ?? headline({ service: record.service.name, message: record.message }))))),
        el("dl", { class: "facts-row" },
          fact(`First seen (${zone(first)})`, moment(first), ago(first)),
          fact(facts.status === "open" ? "Last seen" : "Last alert", moment(last), ago(last)),
          fact("Lasted", Number.isNaN(last) ? "–" : lasting(last - first)),
          fact("Alerts", count(facts.alerts), several(facts.lines.length + facts.more_lines, "distinct line")),
          facts.recurrence > 0 && fact("Came back", `×${facts.recurrence}`, "within ten minutes"),
          activity(facts.activity),
          el("div", {}, el("dt", {}, "Why ", facts.severity), el("dd", {}, gates(facts.gates)))),
        el("div", { class: "actions" },
          el("button", { type: "button", onclick: () => this.act("expected"), title: "Its lines are normal: no alert on them again (e)" }, "Expected"),
          el("button", { type: "button", onclick: () => this.act("real"), title: "It was a fault: keep it, and learn from it (r)" }, "Real fault"),
          el("button", { type: "button", onclick: () => this.act("mute"), title: "No alert on such a line for a while (m)" }, "Mute for…"),
          el("button", { type: "button", onclick: () => this.copy(), title: "What it is, and its link, for a chat or a ticket (c)" }, "Copy")),
      ),
      this.lines(facts),
      this.services(facts),
      this.past(),
    );
  }

  lines(facts) {
    const most = Math.max(...facts.lines.map((one) => one.evidence), 0.001);
    return el("section", {}, el("h3", {}, "Lines ", el("span", { class: "muted" }, "in the order of their first time; bars show evidence")),
      el("ol", { class: "lines" }, facts.lines.map((one, place) => {
        const isOpen = place === this.line;
        return el("li", { class: isOpen ? "open" : "" },
          el("button", { type: "button", class: "evidence-row", "aria-expanded": isOpen, onclick: () => this.choose(isOpen ? -1 : place) },
            el("span", { class: "bar", "--share": one.evidence / most, title: `evidence ${one.evidence}` }),
            el("span", { class: "body" },
              el("span", { class: "meta" }, el("b", {}, visible(one.service)), el("span", {}, clock(millis(one.first_seen))),
                one.count > 1 && el("span", {}, `×${count(one.count)} until ${clock(millis(one.last_seen))}`),
                one.is_failure && el("span", { class: "kind failure" }, "failure"),
                (one.kinds ?? []).map(kindBadge)),
              el("span", { class: "log" }, logLine(one.text)))),
          isOpen && this.panel.show(this.id, one));
      })),
      facts.more_lines > 0 && el("p", { class: "muted" }, `And ${several(facts.more_lines, "more line")}, each with an alert of its own.`));
  }

  services(facts) {
    if (facts.services.length < 2) return null;
    return el("section", {}, el("h3", {}, "Services ", el("span", { class: "muted" }, "in the order in which they broke")),
      el("ol", { class: "spread" }, facts.services.map((one) =>
        el("li", {}, el("b", {}, visible(one.name)), el("span", { class: "muted" }, `${clock(millis(one.first_seen))} · ${several(one.alerts, "alert")}`)))),
      facts.more_services > 0 && el("p", { class: "muted" }, `And ${several(facts.more_services, "more service")}.`));
  }

  past() {
    return el("section", {}, el("h3", {}, "Similar past incidents"),
      this.similar.length
        ? el("ul", { class: "past" }, this.similar.map(({ shared, incident }) =>
            el("li", {}, el("a", { href: `#/incidents/${encodeURIComponent(incident.id)}` }, severityBadge(incident.severity),
              el("span", { class: "log" }, visible(headline(incident))), el("span", { class: "muted" }, [`${several(shared, "line")} alike`, ago(millis(incident.last_seen) || incident.published), ending(incident.resolution)].filter(Boolean).join(" · "))))))
        : el("p", { class: "muted" }, "None that is kept shares a line with it."));
  }

  choose(place) {
    this.line = place;
    this.panel.node = null; // read again: more may have been logged since
    this.draw();
  }

  /** Opens the next line of the incident, or the one before. */
  step(by) {
    const { length } = this.record.logwarden.lines;
    this.choose(Math.min(length - 1, Math.max(0, this.line + by)));
    this.node.querySelector(".lines .open")?.scrollIntoView({ block: "nearest" });
  }

  /** Copies what a colleague needs to know, and the link. */
  copy() {
    const { id, service, logwarden: facts } = this.record;
    const guilty = facts.lines[worst(facts.lines)];
    const others = facts.services.slice(1).map((one) => visible(one.name));
    const text = [
      `${facts.severity.toUpperCase()} ${visible(guilty?.service ?? service.name)} (${facts.status}, since ${facts.first_seen ?? "an unknown time"})`,
      visible(guilty?.text ?? headline({ service: service.name, message: this.record.message })),
      `${several(facts.alerts, "alert")} on ${several(facts.lines.length + facts.more_lines, "distinct line")}${others.length ? `; then ${others.join(", ")}` : ""}`,
      `${location.origin}${location.pathname}#/incidents/${encodeURIComponent(id)}`,
    ];
    copy(text.join("\n"), "Copied, with its link.");
  }

  async act(what) {
    const { record } = this;
    if (!record) return;
    try {
      const line = record.logwarden.lines[Math.max(this.line, 0)];
      const done = what === "mute" ? await mute(line) : await judge(record, what);
      if (done) toast(done, "good");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, "bad");
    }
  }

  key(event) {
    const actions = { e: "expected", r: "real", m: "mute" };
    if (!this.record) return false;
    if (event.key in actions) this.act(actions[event.key]);
    else if (event.key === "c") this.copy();
    else if (event.key === "[" || event.key === "]") this.step(event.key === "]" ? 1 : -1);
    else return false;
    return true;
  }
}

function activity(found) {
  if (!found || found.alerts.length < 2) return null;
  const begin = millis(found.begin);
  const wide = lasting(found.bin_ms);
  return fact("Alerts over time", bars(found.alerts, `Alerts over time, ${wide} a bar, at most ${Math.max(...found.alerts)}`,
    (number, place) => `${clock(begin + place * found.bin_ms)}: ${several(number, "alert")}`), `${wide} a bar`);
}

const kindBadge = (kind) => el("span", { class: `kind ${kind === "new_line" ? "is-new" : ""}`, title: kindMeaning(kind) }, kindName(kind));

const gates = (found) => el("ul", { class: "gates" }, GATES.map(([name, title, meaning]) =>
  el("li", { class: found[name] ? "yes" : "no", title: meaning }, el("span", { class: "mark", "aria-hidden": "true" }, found[name] ? "✓" : "–"),
    title, el("span", { class: "unseen" }, found[name] ? ": yes" : ": no"))));

const back = () => el("a", { class: "back", href: "#/incidents" }, "← Incidents");

function fact(name, value, more = "") {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value, more && el("span", { class: "muted" }, more)));
}

/** Returns the place of the line that a person reads first. */
function worst(lines) {
  let best = 0;
  lines.forEach((one, place) => {
    const than = lines[best];
    if (one.is_failure !== than.is_failure ? one.is_failure : one.evidence > than.evidence) best = place;
  });
  return lines.length ? best : -1;
}
