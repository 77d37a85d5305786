// What people say: judgements, mutes and maintenance, and the dialogs that take them.

import { Refused, ask, write } from "./api.js";
import { el, fill, toast } from "./dom.js";
import { ago, clock, lasting, millis, now, several, visible } from "./text.js";

const LENGTHS = [["30m", "30 minutes"], ["2h", "2 hours"], ["1d", "a day"], ["7d", "a week"], ["", "for ever"]];

/** Opens a form. Resolves to its values, or to null. */
export function form(title, sentence, fields, verb) {
  return new Promise((resolve) => {
    const box = el("dialog", { class: "box", "aria-labelledby": "box-title" },
      el("form", { method: "dialog" }, el("h2", { id: "box-title" }, title), sentence && el("p", {}, sentence), fields,
        el("div", { class: "row end" },
          el("button", { type: "button", onclick: () => box.close() }, "Cancel"),
          el("button", { type: "submit", value: "ok", class: "primary" }, verb))));
    box.addEventListener("close", () => {
      const values = box.returnValue === "ok" ? Object.fromEntries(new FormData(box.querySelector("form"))) : null;
      box.remove();
      resolve(values);
    });
    document.body.append(box);
    box.showModal();
  });
}

const field = (id, name, input) => [el("label", { for: id }, name), input];
const text = (id, props = {}) => el("input", { id, name: id, type: "text", autocomplete: "off", spellcheck: "false", ...props });
const lengths = (chosen, choices = LENGTHS) =>
  el("select", { id: "for", name: "for" }, choices.map(([value, name]) => el("option", { value, selected: value === chosen }, name)));

/** Judges an incident. Returns the sentence to show, or "" if the person gave up. */
export async function judge(record, kind) {
  const isExpected = kind === "expected";
  const given = await form(
    isExpected ? "These lines are normal" : "This was a fault",
    isExpected
      ? `No alert is raised again on ${several(record.logwarden.lines.length, "kind")} of lines of this incident, in their services.`
      : "Takes back what was said about these lines, and keeps them for training.",
    [isExpected && field("for", "For how long", lengths("")), field("reason", "Why (may be empty)", text("reason", { maxlength: 500 }))],
    isExpected ? "Expected" : "Real fault",
  );
  if (!given) return "";
  const body = { kind, incident: record.id, reason: given.reason, ...(given.for ? { for: given.for } : {}) };
  const answer = await write("/api/v1/feedback", { method: "POST", body });
  return answer ? `Noted as ${kind}. It is in force everywhere within five seconds. ${answer.note}`.trim() : "";
}

/** Mutes a text. Returns the sentence to show, or "". */
export async function mute(line) {
  const given = await form(
    "Mute a text",
    "No alert is raised on lines that contain it. A star is any text.",
    [
      field("pattern", "Text", text("pattern", { value: patternOf(line.text), required: true, minlength: 3, maxlength: 1000, class: "mono" })),
      field("services", "Services (names or patterns, by commas)", text("services", { value: line.service })),
      field("for", "For how long", lengths("2h")),
      field("reason", "Why (may be empty)", text("reason", { maxlength: 500 })),
    ],
    "Mute",
  );
  if (!given) return "";
  const body = { kind: "mute", pattern: given.pattern, services: names(given.services), reason: given.reason, ...(given.for ? { for: given.for } : {}) };
  return (await write("/api/v1/feedback", { method: "POST", body })) ? "Muted. It is in force everywhere within five seconds." : "";
}

/** Returns a line with its numbers and ids as stars, which is what a mute is usually about. */
function patternOf(line) {
  return line.replace(/…$/, "*").replace(/\b(?=[\w-]*\d)[\w-]+(?:[.:][\w-]*\d[\w-]*)*/g, "*").replace(/\*(?:[\s:.,/]*\*)+/g, "*").slice(0, 500);
}

const names = (list) => list.split(",").map((one) => one.trim()).filter(Boolean);

export class FeedbackView {
  constructor() {
    this.body = el("div", { class: "page-body" });
    this.node = el("div", { class: "page" }, el("div", { class: "bar" }, el("h1", {}, "Feedback"),
      el("button", { type: "button", class: "primary", onclick: () => this.start() }, "Announce maintenance…")), this.body);
    this.load();
    this.timer = setInterval(() => this.load(), 5_000);
  }

  async load() {
    try {
      this.draw(await ask("/api/v1/feedback"));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      fill(this.body, el("p", { class: "note" }, error.message));
    }
  }

  draw(found) {
    const windows = found.feedback.filter((one) => one.feedback.kind === "maintenance");
    const others = found.feedback.filter((one) => one.feedback.kind !== "maintenance");
    fill(this.body,
      found.note && el("p", { class: "note" }, found.note),
      el("section", {}, el("h2", {}, "Maintenance windows"),
        windows.length ? el("ul", { class: "entries" }, windows.map((one) => this.entry(one)))
          : el("p", { class: "muted" }, "None is announced. Alerts within a window are marked as planned, and become one incident of severity info.")),
      el("section", {}, el("h2", {}, "Judgements and mutes"),
        others.length ? el("ul", { class: "entries" }, others.map((one) => this.entry(one)))
          : el("p", { class: "muted" }, "None is given. Open an incident to say that its lines are expected, or that it was a real fault.")));
  }

  entry({ key, is_over: isOver, feedback }) {
    const where = [...(feedback.services ?? []), ...(feedback.systems ?? []).map((one) => `system ${one}`)];
    const until = millis(feedback.until);
    const end = Number.isNaN(until) ? "no end" : isOver ? `ended ${ago(until)}` : `ends in ${lasting(until - now())}, at ${clock(until)}`;
    const lines = feedback.lines ?? [];
    const title = feedback.pattern || lines[0]?.text || feedback.reason || key.replace(/^maintenance\//, "");
    return el("li", { class: isOver ? "over" : "" },
      el("span", { class: `kind ${feedback.kind}` }, feedback.kind),
      el("span", { class: "body" },
        el("span", { class: "log" }, visible(title), lines.length > 1 && ` and ${several(lines.length - 1, "more line")}`),
        el("span", { class: "muted" }, [where.join(", ") || (lines.length ? [...new Set(lines.map((one) => one.service))].join(", ") : "all services"), end, title !== feedback.reason && feedback.reason, feedback.by && `by ${feedback.by}`, `given ${ago(millis(feedback.given))}`].filter(Boolean).map(visible).join(" · "))),
      !isOver && el("button", { type: "button", onclick: () => this.undo(key, feedback.kind) }, feedback.kind === "maintenance" ? "Stop" : "Undo"));
  }

  async undo(key, kind) {
    await this.attempt(() => (kind === "maintenance"
      ? write("/api/v1/maintenance", { method: "POST", body: { action: "stop", name: key.replace(/^maintenance\//, "") } })
      : write(`/api/v1/feedback?key=${encodeURIComponent(key)}`, { method: "DELETE" })), "Ended. Lines from now on alert again.");
  }

  async start() {
    const given = await form("Announce maintenance", "What services log within the window is planned: one incident of severity info.", [
      field("services", "Services (names or patterns, by commas; empty: by system)", text("services")),
      field("systems", "Systems (by commas)", text("systems")),
      field("for", "For how long", lengths("1h", [["10m", "10 minutes"], ["30m", "30 minutes"], ["1h", "an hour"], ["4h", "4 hours"], ["1d", "a day"]])),
      field("reason", "Why (may be empty)", text("reason", { maxlength: 500 })),
    ], "Begin now");
    if (!given) return;
    const body = { action: "start", services: names(given.services), systems: names(given.systems), for: given.for, reason: given.reason };
    await this.attempt(() => write("/api/v1/maintenance", { method: "POST", body }), "Announced. It is in force everywhere within five seconds.");
  }

  async attempt(work, sentence) {
    try {
      if (await work()) toast(sentence, "good");
      await this.load();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, "bad");
    }
  }

  key() {
    return false;
  }

  close() {
    clearInterval(this.timer);
  }
}
