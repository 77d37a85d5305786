// The window of a line: what its service logged before and after, and how much each line weighed in the score.

import { Refused, ask } from "./api.js";
import { copy, el, fill, logLine } from "./dom.js";
import { clock, count, kindMeaning, kindName, lasting, millis, visible } from "./text.js";

const NEW_BITS = 8;
const RARE_BITS = 6;

export class WindowPanel {
  constructor() {
    this.kept = new Map(); // id of an alert → its answer
    this.node = null;
  }

  /** Returns the scrolled part of what is shown. */
  get box() {
    return this.node?.querySelector(".window-lines");
  }

  /** Returns the panel of a line of an incident, which fills itself. A change of the incident leaves it as it is. */
  show(incident, line) {
    if (this.node) return this.node;
    const node = el("div", { class: "window" });
    this.node = node;
    const known = this.kept.get(line.alert_id);
    if (known) this.draw(node, known, line);
    else this.load(node, incident, line);
    return node;
  }

  async load(node, incident, line) {
    fill(node, el("p", { class: "muted waits" }, "Reading the window…"));
    try {
      const query = new URLSearchParams({ incident, alert: line.alert_id });
      const found = await ask(`/api/v1/window?${query}`);
      if (this.kept.size > 100) this.kept.clear();
      if (found.after.length) this.kept.set(line.alert_id, found);
      this.draw(node, found, line);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      fill(node, el("p", { class: "note" }, error.message));
    }
  }

  draw(node, { alert, after, original, note }, line) {
    const button = el("button", { type: "button", class: "small", onclick: () => copy(line.text, "Copied the line.") }, "Copy line");
    if (!alert) return void fill(node, el("p", { class: "meta" }, button), el("p", { class: "muted" }, note));
    const facts = alert.logwarden;
    const place = facts.lines.findIndex((one) => one.newest);
    const rows = facts.lines.map((one) => row(one));
    fill(node,
      el("p", { class: "meta" }, said(alert), button),
      el("div", { class: "window-lines", role: "group", tabindex: "0", "aria-label": "Lines before and after" },
        rows,
        after.map((one) => row({ ...one, weight: 0, isAfter: true })),
        !after.length && !note && el("p", { class: "muted" }, "The service has logged nothing since.")),
      note && el("p", { class: "muted" }, note),
      original !== null && el("details", { class: "original" }, el("summary", {}, "Original record"), el("pre", { class: "code" }, visible(original))));
    if (place >= 0) {
      requestAnimationFrame(() => {
        const box = node.querySelector(".window-lines");
        if (box) box.scrollTop = rows[place].offsetTop - box.clientHeight * 0.62;
      });
    }
  }
}

function said(alert) {
  const { score, kind, rate, silence, history_lines: known, source } = alert.logwarden;
  return [
    alert.log.level && el("span", {}, `level ${alert.log.level}`),
    el("span", { title: "Probability of an anomaly" }, `score ${score.toFixed(2)}`),
    kind && el("span", { title: kindMeaning(kind) }, kindName(kind)),
    rate && el("span", {}, `${count(rate.count)} within ${rate.seconds} s, at most ${count(rate.most_before)} before`),
    silence && el("span", {}, `silent for ${lasting(1000 * silence.seconds)}, at most ${lasting(1000 * silence.longest_before)} before`),
    el("span", {}, `${count(known)} lines known`),
    el("span", {}, `${visible(source.topic)}/${source.partition} at ${source.last_offset}`),
  ];
}

function row(one) {
  const share = Math.round(100 * one.weight);
  const odd = one.surprise >= NEW_BITS ? "new" : one.surprise >= RARE_BITS ? "rare" : "";
  const classes = ["window-line", one.guilty && "is-guilty", one.newest && "is-newest", one.isAfter && "is-after"].filter(Boolean).join(" ");
  return el("div", { class: classes },
    el("span", { class: "weight", title: one.isAfter ? "after the alert" : `${share} % of the score` },
      share > 0 && el("span", { class: "bar", "--share": one.weight }), share > 0 && el("span", { class: "share" }, `${share} %`)),
    el("span", { class: "time" }, clock(millis(one.timestamp), { precise: true })),
    el("span", { class: "log" }, logLine(one.text), odd && el("span", { class: `kind ${odd === "new" ? "is-new" : ""}`, title: `${one.surprise.toFixed(1)} bits` }, odd)));
}
