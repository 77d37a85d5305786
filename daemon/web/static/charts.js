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

/** Returns a line through these numbers, whose last one is marked. */
export function spark(node, numbers, most = Math.max(...numbers, 1)) {
  const step = 96 / Math.max(numbers.length - 1, 1);
  const points = numbers.map((number, place) => `${(2 + place * step).toFixed(1)},${(18 - (16 * Math.min(number, most)) / most).toFixed(1)}`);
  node.replaceChildren(svg("polyline", { points: points.join(" "), fill: "none", "vector-effect": "non-scaling-stroke" }));
}
