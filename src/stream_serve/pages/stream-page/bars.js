// The progress of a stream: a bar for each thing that is in progress, with its newest value.

import { byId, make, put } from "../test-stream/element.js";
import { number } from "./words.js";

const MOST = 20;
const LONG = 200;

export class Bars {
  #place = byId("progress");
  /** @type {Map<string, {row: HTMLElement, bar: HTMLProgressElement, value: HTMLElement}>} */
  #rows = new Map();

  /**
   * Show a message of progress. Of too many things the one that has moved least recently goes.
   * @param {{value?: unknown, content?: unknown}} message
   */
  show({ value, content }) {
    const label = (typeof content === "string" ? content : "").slice(0, LONG);
    const found = this.#rows.get(label) ?? this.#open(label);
    this.#rows.delete(label);
    this.#rows.set(label, found);
    const known = typeof value === "number" && Number.isFinite(value);
    const share = known ? Math.min(1, Math.max(0, value)) : 0;
    if (known) found.bar.value = share;
    else found.bar.removeAttribute("value");
    put(found.value, known ? `${number(share < 1 ? Math.min(99, Math.round(share * 100)) : 100)} %` : "");
    for (const [name, { row }] of this.#rows) {
      if (this.#rows.size <= MOST) break;
      this.#rows.delete(name);
      row.remove();
    }
    this.#place.hidden = false;
  }

  clear() {
    this.#rows.clear();
    this.#place.replaceChildren();
    this.#place.hidden = true;
  }

  /** @param {string} label */
  #open(label) {
    const row = make("div", "bar");
    const bar = make("progress");
    bar.max = 1;
    bar.setAttribute("aria-label", label || this.#place.getAttribute("aria-label") || "");
    const value = make("span", "value");
    row.append(make("span", "words", label), value, bar);
    this.#place.append(row);
    return { row, bar, value };
  }
}
