// The table of events. Every event is counted; only the latest rows stay in the page, so that it is as
// quick with twenty thousand events as with twenty.

/** @import { StreamRecord } from "./run.js" */

import { around, byId, EndKeeper, every, make, present, put, within } from "./element.js";
import { number, text } from "./text.js";

const ROWS = 500;
const PREVIEW = 160; // characters of data in a closed row
const FLOOD = 40; // more new rows than this in a frame are drawn at most every DRAW_EVERY
const DRAW_EVERY = 120; // milliseconds
const KNOWN = new Set([
  ...["start", "reasoning", "chunk", "tool_call", "tool_arguments", "source", "extra"],
  ...["end", "error", "comment", "resumed"],
]);

export class EventTable {
  #body = byId("events");
  #template = within(byId("event-row", HTMLTemplateElement).content, "tr", HTMLTableRowElement);
  #end = new EndKeeper(byId("events-scroll"));
  /** @type {WeakMap<HTMLButtonElement, StreamRecord>} */
  #records = new WeakMap();
  /** @type {StreamRecord[]} */
  #waiting = [];
  #total = 0;
  #skips = 0;
  #drawn = 0;

  constructor() {
    this.#body.addEventListener("click", (event) => {
      const button = around(event, "button", HTMLButtonElement);
      if (button !== null) this.#toggle(button);
    });
    this.#body.addEventListener("keydown", (event) => this.#move(event));
  }

  reset() {
    this.#waiting = [];
    this.#total = 0;
    this.#skips = 0;
    this.#body.replaceChildren();
    this.#end.reset();
    this.words();
  }

  /** @param {StreamRecord[]} records */
  add(records) {
    this.#total += records.length;
    for (const record of records) {
      if (record.skipped) this.#skips += 1;
      this.#waiting.push(record);
    }
    if (this.#waiting.length > ROWS * 2) this.#waiting = this.#waiting.slice(-ROWS);
  }

  /**
   * Draw what was added.
   * @param {number} now
   * @param {boolean} atOnce leave nothing for a later frame
   * @returns {boolean} false when there is more to draw in a later frame
   */
  show(now, atOnce) {
    if (this.#waiting.length === 0) return true;
    if (!atOnce && this.#waiting.length > FLOOD && now - this.#drawn < DRAW_EVERY) return false;
    this.#drawn = now;
    const fresh = document.createDocumentFragment();
    for (const record of this.#waiting.slice(-ROWS)) fresh.append(this.#row(record));
    this.#waiting = [];
    this.#trim(ROWS - fresh.childElementCount);
    this.#body.append(fresh);
    if (this.#body.querySelector('button[tabindex="0"]') === null) within(this.#body, "button", HTMLButtonElement).tabIndex = 0;
    this.words();
    this.#end.keep();
    return true;
  }

  /** The words around the rows, in the page's language. */
  words() {
    const hidden = Math.max(0, this.#total - ROWS);
    byId("events-empty").hidden = this.#total > 0;
    byId("events-hidden").hidden = hidden === 0;
    put(byId("events-hidden"), text("eventsHidden", { count: number(hidden) }));
    byId("events-skipped").hidden = this.#skips === 0;
    put(byId("events-skipped"), text("eventsSkipped", { count: number(this.#skips) }));
  }

  /** @param {number} keep */
  #trim(keep) {
    const surplus = this.#body.childElementCount - Math.max(0, keep);
    if (surplus <= 0) return;
    const rows = this.#body.children;
    if (surplus === rows.length) {
      this.#body.replaceChildren();
      return;
    }
    const range = document.createRange();
    range.setStartBefore(present(rows[0], "row"));
    range.setEndAfter(present(rows[surplus - 1], "row"));
    range.deleteContents();
  }

  /** @param {StreamRecord} record */
  #row(record) {
    const row = /** @type {HTMLTableRowElement} */ (this.#template.cloneNode(true));
    /** @param {number} index */
    const cell = (index) => present(row.cells[index], "cell");
    const id = cell(0);
    id.textContent = record.id;
    present(cell(1).firstElementChild, "type").textContent = record.type;
    row.dataset.type = KNOWN.has(record.type) ? record.type : "other";
    cell(2).textContent = record.at.toFixed(1);
    cell(3).textContent = record.gap.toFixed(1);
    cell(4).textContent = String(record.size);
    if (record.skipped) {
      row.classList.add("skipped");
      id.title = text("skipped");
    }
    const button = within(cell(5), "button", HTMLButtonElement);
    button.textContent = shorten(record.content === null ? record.data : JSON.stringify(record.content)) || "\u00a0";
    this.#records.set(button, record);
    return row;
  }

  /**
   * An open row shows the event as it came over the wire.
   * @param {HTMLButtonElement} button
   */
  #toggle(button) {
    const record = present(this.#records.get(button), "record of this row");
    if (record.size === 0) return; // a mark of the page's own
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    button.closest("tr")?.classList.toggle("open", open);
    button.parentElement?.querySelector("pre")?.remove();
    if (open) button.after(make("pre", "wire", new TextDecoder().decode(record.raw).trimEnd()));
    this.#rove(button);
  }

  /**
   * One stop for the Tab key; the arrow keys go from row to row.
   * @param {KeyboardEvent} event
   */
  #move(event) {
    const row = around(event, "tr", HTMLTableRowElement);
    /** @type {Record<string, Element | null | undefined>} */
    const rows = {
      ArrowDown: row?.nextElementSibling,
      ArrowUp: row?.previousElementSibling,
      Home: this.#body.firstElementChild,
      End: this.#body.lastElementChild,
    };
    const to = rows[event.key];
    if (!to) return;
    event.preventDefault();
    const button = within(to, "button", HTMLButtonElement);
    this.#rove(button);
    button.focus();
  }

  /** @param {HTMLButtonElement} button */
  #rove(button) {
    for (const other of every(this.#body, 'button[tabindex="0"]', HTMLButtonElement)) other.tabIndex = -1;
    button.tabIndex = 0;
  }
}

/** @param {string} words */
function shorten(words) {
  return words.length > PREVIEW ? `${words.slice(0, PREVIEW)}…` : words;
}
