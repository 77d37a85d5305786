// Shows a long list by the rows that are in sight: ten thousand entries cost some dozen elements.

import { el } from "./dom.js";

const BEYOND = 6;

export class VirtualList {
  /** `make()` returns a row, `show(row, item, place)` writes an item into it. Every row has the same height. */
  constructor({ rowHeight, make, show, label, isTable = false, keyOf = (item) => item.id, onrest = () => {} }) {
    this.rowHeight = rowHeight;
    this.make = make;
    this.show = show;
    this.keyOf = keyOf;
    this.items = [];
    this.rows = new Map(); // place → row in sight
    this.spare = [];
    this.isTable = isTable; // its rows have cells, and the table is around its node
    this.inner = el("div", { class: "virtual-inner", role: isTable ? "none" : "list", "aria-label": isTable ? null : label });
    this.node = el("div", { class: "virtual", tabindex: "0", role: isTable ? "rowgroup" : "group", "aria-label": label }, this.inner);
    this.frame = 0;
    this.rest = 0;
    this.onrest = onrest; // called when the list was not scrolled for a moment
    this.node.addEventListener("scroll", () => this.later(), { passive: true });
    this.sizes = new ResizeObserver(() => this.later());
    this.sizes.observe(this.node);
  }

  /** Shows these items. What is in sight stays in sight unless the list is at its top. */
  set(items) {
    const top = this.node.scrollTop;
    const first = Math.floor(top / this.rowHeight);
    const anchor = top > 0 && this.items[first] ? this.keyOf(this.items[first]) : null;
    this.items = items;
    this.inner.style.height = `${items.length * this.rowHeight}px`;
    if (anchor !== null) {
      const place = items.findIndex((item) => this.keyOf(item) === anchor);
      if (place >= 0 && place !== first) this.node.scrollTop = top + (place - first) * this.rowHeight;
    }
    this.draw(true);
  }

  later() {
    this.frame ||= requestAnimationFrame(() => this.draw(false));
  }

  /** Scrolls an item into sight. */
  reveal(place) {
    const top = place * this.rowHeight;
    const { scrollTop, clientHeight } = this.node;
    if (top < scrollTop) this.node.scrollTop = top;
    else if (top + this.rowHeight > scrollTop + clientHeight) this.node.scrollTop = top + this.rowHeight - clientHeight;
    this.later();
  }

  draw(again) {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const { scrollTop, clientHeight } = this.node;
    const from = Math.max(0, Math.floor(scrollTop / this.rowHeight) - BEYOND);
    const to = Math.min(this.items.length, Math.ceil((scrollTop + clientHeight) / this.rowHeight) + BEYOND);
    for (const [place, row] of this.rows) {
      if (place < from || place >= to) {
        this.rows.delete(place);
        this.spare.push(row);
      }
    }
    for (let place = from; place < to; place++) {
      let row = this.rows.get(place);
      if (row !== undefined && !again) continue;
      if (row === undefined) {
        row = this.spare.pop();
        if (row === undefined) {
          row = this.make();
          this.inner.append(row);
        }
        row.hidden = false;
        row.style.transform = `translateY(${place * this.rowHeight}px)`;
        row.setAttribute(this.isTable ? "aria-rowindex" : "aria-posinset", place + (this.isTable ? 2 : 1));
        this.rows.set(place, row);
      }
      if (!this.isTable) row.setAttribute("aria-setsize", this.items.length);
      this.show(row, this.items[place], place);
    }
    for (const row of this.spare) row.hidden = true;
    clearTimeout(this.rest);
    this.rest = setTimeout(this.onrest, 150);
  }

  /** Returns the items in sight. */
  visible() {
    return [...this.rows.keys()].sort((a, b) => a - b).map((place) => this.items[place]).filter(Boolean);
  }

  close() {
    this.sizes.disconnect();
    clearTimeout(this.rest);
    cancelAnimationFrame(this.frame);
  }
}
