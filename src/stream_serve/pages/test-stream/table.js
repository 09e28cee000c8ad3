// The table of events. Every event is counted; only the latest rows stay in the page, so that it is as
// quick with twenty thousand events as with twenty.

import { byId, EndKeeper, make, put } from "./element.js";
import { number, text } from "./text.js";

const ROWS = 500;
const PREVIEW = 160; // characters of data in a closed row
const FLOOD = 40; // more new rows than this in a frame are drawn at most every DRAW_EVERY
const DRAW_EVERY = 120; // milliseconds
const KNOWN = new Set(["start", "reasoning", "chunk", "end", "error", "comment", "resumed"]);

export class EventTable {
  #body = byId("events");
  #template = byId("event-row").content.firstElementChild;
  #end = new EndKeeper(byId("events-scroll"));
  #records = new WeakMap();
  #waiting = [];
  #total = 0;
  #skips = 0;
  #drawn = 0;

  constructor() {
    this.#body.addEventListener("click", (event) => {
      const button = event.target.closest("button");
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

  /** @param {import("./run.js").StreamRecord[]} records */
  add(records) {
    this.#total += records.length;
    for (const record of records) {
      if (record.skipped) this.#skips += 1;
      this.#waiting.push(record);
    }
    if (this.#waiting.length > ROWS * 2) this.#waiting = this.#waiting.slice(-ROWS);
  }

  /** Draw what was added. @returns {boolean} false when there is more to draw in a later frame */
  show(now, atOnce) {
    if (this.#waiting.length === 0) return true;
    if (!atOnce && this.#waiting.length > FLOOD && now - this.#drawn < DRAW_EVERY) return false;
    this.#drawn = now;
    const fresh = document.createDocumentFragment();
    for (const record of this.#waiting.slice(-ROWS)) fresh.append(this.#row(record));
    this.#waiting = [];
    this.#trim(ROWS - fresh.childElementCount);
    this.#body.append(fresh);
    if (this.#body.querySelector('button[tabindex="0"]') === null) this.#body.querySelector("button").tabIndex = 0;
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

  #trim(keep) {
    const surplus = this.#body.childElementCount - Math.max(0, keep);
    if (surplus <= 0) return;
    const rows = this.#body.children;
    if (surplus === rows.length) {
      this.#body.replaceChildren();
      return;
    }
    const range = document.createRange();
    range.setStartBefore(rows[0]);
    range.setEndAfter(rows[surplus - 1]);
    range.deleteContents();
  }

  #row(record) {
    const row = this.#template.cloneNode(true);
    const [id, type, time, gap, size, data] = row.children;
    id.textContent = record.id;
    type.firstElementChild.textContent = record.type;
    row.dataset.type = KNOWN.has(record.type) ? record.type : "other";
    time.textContent = record.at.toFixed(1);
    gap.textContent = record.gap.toFixed(1);
    size.textContent = String(record.size);
    if (record.skipped) {
      row.classList.add("skipped");
      id.title = text("skipped");
    }
    const button = data.firstElementChild;
    button.textContent = shorten(record.content === null ? record.data : JSON.stringify(record.content)) || "\u00a0";
    this.#records.set(button, record);
    return row;
  }

  // An open row shows the event as it came over the wire.
  #toggle(button) {
    if (this.#records.get(button).size === 0) return; // a mark of the page's own
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    button.closest("tr").classList.toggle("open", open);
    button.parentElement.querySelector("pre")?.remove();
    if (open) button.after(make("pre", "wire", new TextDecoder().decode(this.#records.get(button).raw).trimEnd()));
    this.#rove(button);
  }

  // One stop for the Tab key; the arrow keys go from row to row.
  #move(event) {
    const row = event.target.closest("tr");
    const to = {
      ArrowDown: row?.nextElementSibling,
      ArrowUp: row?.previousElementSibling,
      Home: this.#body.firstElementChild,
      End: this.#body.lastElementChild,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const button = to.querySelector("button");
    this.#rove(button);
    button.focus();
  }

  #rove(button) {
    for (const other of this.#body.querySelectorAll('button[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
  }
}

function shorten(words) {
  return words.length > PREVIEW ? `${words.slice(0, PREVIEW)}…` : words;
}
