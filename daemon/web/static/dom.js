// Builds elements. Every text becomes a text node: nothing on this page is ever parsed as markup.

import { clock, lean, visible } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";

/** Returns an element. `props`: attributes, `class`, `on…` listeners, `data-…`, and `--…` variables of its style. */
export function el(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

export function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value); // by CSSOM, which the policy allows
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replaces what a node contains. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

export const severityBadge = (severity) => el("span", { class: `severity ${severity}` }, severity);

/** Returns a log line. The time at its begin is pale, so that its words are seen first. */
export function logLine(text) {
  const rest = lean(text);
  return [rest.length < text.length && el("span", { class: "head" }, visible(text.slice(0, text.length - rest.length))), visible(rest)];
}

/** Returns a time of day, which shows the whole moment in UTC when pointed at. */
export function moment(ms) {
  if (Number.isNaN(ms)) return clock(ms);
  const whole = new Date(ms).toISOString();
  return el("time", { datetime: whole, title: whole }, clock(ms));
}

/** Copies a text, and reports it. Where a page may not use the clipboard (plain HTTP from another host), by selection. */
export async function copy(text, sentence) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const give = (event) => { // the text itself: a selection loses what the layout of its box collapses
      event.clipboardData.setData("text/plain", text);
      event.preventDefault();
    };
    const box = el("textarea", { class: "unseen", readonly: true, "aria-hidden": "true", oncopy: give });
    const before = document.activeElement;
    box.value = text;
    document.body.append(box);
    box.select();
    const isDone = document.execCommand("copy");
    box.remove();
    before?.focus({ preventScroll: true });
    if (!isDone) return toast("This browser allows no copy. Select the text instead.", "bad");
  }
  toast(sentence, "good");
}

export const byId = (id) => document.getElementById(id);

/** Returns true if a keystroke belongs to a field in which people write. */
export const isTyping = (target) => target instanceof HTMLElement && target.closest("input, textarea, select, dialog") !== null;

let toastTimer = 0;

/** Shows a sentence for some seconds. */
export function toast(sentence, kind = "") {
  fill(byId("toasts"), el("p", { class: `toast ${kind}` }, sentence));
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => fill(byId("toasts")), 8000);
}
