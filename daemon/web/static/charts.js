// Small pictures of numbers, as SVG elements.

import { svg } from "./dom.js";

const BAR = 8;
const HEIGHT = 24;

/** Returns bars of these numbers. `tell(number, place)` describes one of them. */
export function bars(numbers, label, tell) {
  const most = Math.max(...numbers, 1);
  return svg("svg", { class: "bars", width: 10 * numbers.length, height: HEIGHT, viewBox: `0 0 ${BAR * numbers.length} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    numbers.map((number, place) => {
      const height = number ? Math.max(2, (HEIGHT * number) / most) : 0;
      return svg("rect", { x: BAR * place + 1, y: HEIGHT - height, width: BAR - 2, height }, svg("title", {}, tell(number, place)));
    }));
}

/** Draws lines a minute as a curve, and below it a mark for each minute with an alert, as high as its score. */
export function history(node, past, name) {
  if (past && node.drawn === past) return;
  node.drawn = past;
  node.replaceChildren();
  node.setAttribute("aria-label", past ? `${name}: ${past.lines.at(-1)} lines in the last minute, ${past.scores.filter(Boolean).length} of 30 minutes with an alert` : name);
  if (!past) return;
  const most = Math.max(...past.lines, 1);
  const step = 120 / past.lines.length;
  const points = past.lines.map((number, place) => `${((place + 0.5) * step).toFixed(1)},${(21 - (18 * number) / most).toFixed(1)}`);
  node.append(svg("polyline", { points: points.join(" "), class: "curve" }));
  past.scores.forEach((score, place) => {
    if (score > 0) node.append(svg("rect", { x: place * step, y: 24 - 12 * score, width: step - 1, height: 12 * score, class: "alert" }));
  });
}
