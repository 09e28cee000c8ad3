// The messages of a stream as lines: the last ones only, however many there are.
//
// How it works: messages wait until the next frame, and then become lines at once. Those that the page would not
// keep are only counted: so neither the page nor what waits for it grows without end. A line has its text to
// search in; JSON is spread out when it is unfolded.

import { byId, EndKeeper, make, put } from "../test-stream/element.js";
import { number, text, time } from "./words.js";

const MOST = 5000; // lines
const MOST_CHARACTERS = 8_000_000; // of all lines together
const LONG = 20_000; // characters of one line, or of one text that comes piece by piece
const PREVIEW = 160;
// What colours the output of a program in a terminal, or sets its title (ECMA-48): no words.
const COLOURS = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))/g;

/**
 * `kind` is the type of the message; `words` are all of them, `node` is where a text goes on.
 * @typedef {{kind: string, words: string, row: HTMLElement, node: Text | null}} Line
 */

export class Log {
  #box = byId("log");
  #empty = byId("empty");
  #end = byId("end", HTMLButtonElement);
  #search = byId("search", HTMLInputElement);
  #keeper = new EndKeeper(this.#box);
  /** @type {unknown[]} */
  #waiting = [];
  /** @type {Line[]} */
  #lines = [];
  #characters = 0;
  #dropped = 0;
  #found = 0; // lines that are shown
  #wanted = ""; // what is searched for
  #over = false;
  #frame = 0;

  constructor() {
    this.#search.addEventListener("input", () => this.#filter());
    this.#search.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.#search.value = "";
      this.#filter();
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target instanceof HTMLInputElement;
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#search.focus();
    });
    this.#box.addEventListener("scroll", () => this.#offer(), { passive: true });
    this.#end.addEventListener("click", () => {
      this.#box.scrollTop = this.#box.scrollHeight;
      this.#box.focus({ preventScroll: true });
    });
  }

  /**
   * Show a message, with the next frame.
   * @param {unknown} message
   */
  add(message) {
    this.#waiting.push(message);
    if (this.#waiting.length > 2 * MOST) this.#skip();
    // A page in the background gets no frames.
    this.#frame ||= document.hidden ? setTimeout(this.#draw, 200) : requestAnimationFrame(this.#draw);
  }

  /** Nothing more comes. */
  finish() {
    this.#over = true;
    this.words();
  }

  clear() {
    this.#waiting = [];
    this.#lines = [];
    this.#characters = this.#dropped = this.#found = 0;
    this.#over = false;
    this.#box.replaceChildren(this.#empty);
    this.#keeper.reset();
    this.words();
  }

  /** Say anew what is said beside the messages. */
  words() {
    this.#empty.hidden = this.#lines.length > 0;
    put(this.#empty, text(this.#over ? "nothing" : "empty"));
    byId("hidden").hidden = this.#dropped === 0;
    put(byId("hidden"), text("hidden", { count: number(this.#dropped) }));
    const count = number(this.#lines.length + this.#dropped);
    const words = this.#wanted ? text("found", { found: number(this.#found), count }) : text(count === "1" ? "one" : "count", { count });
    put(byId("count"), words);
  }

  /** Leave out what would be dropped at once. */
  #skip() {
    const before = this.#waiting.length;
    this.#waiting = this.#waiting.slice(-MOST);
    this.#dropped += before - this.#waiting.length;
  }

  #draw = () => {
    this.#frame = 0;
    this.#skip();
    const rows = document.createDocumentFragment();
    for (const message of this.#waiting.splice(0)) this.#match(this.#goOn(message) ?? this.#open(message, rows));
    this.#box.append(rows);
    this.#trim();
    this.words();
    this.#keeper.keep();
    this.#offer();
  };

  /**
   * Add a piece to the text before it; null where there is none.
   * @param {unknown} message
   */
  #goOn(message) {
    const last = this.#lines.at(-1);
    const { type, content } = fields(message);
    if (type !== "chunk" || typeof content !== "string") return null;
    if (last === undefined || last.node === null || last.words.length + content.length > LONG) return null;
    const words = plain(content);
    last.node.appendData(words);
    last.words += words;
    this.#characters += words.length;
    return last;
  }

  /**
   * @param {unknown} message
   * @param {DocumentFragment} rows
   */
  #open(message, rows) {
    const line = lineOf(message);
    this.#lines.push(line);
    this.#found++;
    this.#characters += line.words.length;
    rows.append(line.row);
    return line;
  }

  #trim() {
    let drop = Math.max(0, this.#lines.length - MOST);
    for (let at = 0; at < drop; at++) this.#characters -= this.#lines[at]?.words.length ?? 0;
    while (this.#characters > MOST_CHARACTERS && drop < this.#lines.length - 1) {
      this.#characters -= this.#lines[drop++]?.words.length ?? 0;
    }
    for (const { row } of this.#lines.splice(0, drop)) {
      if (!row.hidden) this.#found--;
      row.remove();
    }
    this.#dropped += drop;
  }

  #filter() {
    this.#wanted = this.#search.value.trim().toLowerCase();
    for (const line of this.#lines) this.#match(line);
    this.words();
  }

  /**
   * Show a line where it has what is searched for.
   * @param {Line} line
   */
  #match({ row, words }) {
    const hidden = this.#wanted !== "" && !words.toLowerCase().includes(this.#wanted);
    if (hidden === row.hidden) return;
    row.hidden = hidden;
    this.#found += hidden ? -1 : 1;
  }

  #offer() {
    this.#end.hidden = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 24;
  }
}

/**
 * @param {unknown} message
 * @returns {Line}
 */
function lineOf(message) {
  const { type, content, at, source, data } = fields(message);
  const kind = typeof type === "string" ? type : "";
  const row = make("div", "line");
  row.dataset.kind = kind;
  if (source === "stderr") row.dataset.source = row.title = source;
  const when = make("time", "", time(at));
  if (kind === "log" || kind === "chunk") {
    const words = plain(typeof content === "string" ? content : JSON.stringify(content) ?? "");
    const shown = make("span", "words", words.slice(0, LONG));
    const node = shown.firstChild;
    if (words.length > LONG) shown.append(make("i", "", text("cut", { count: number(words.length - LONG) })));
    row.append(when, shown);
    return { kind, words: words.slice(0, LONG), row, node: kind === "chunk" && node instanceof Text ? node : null };
  }
  const json = JSON.stringify(kind === "data" && data !== undefined ? data : message);
  row.append(when, folded(json));
  return { kind, words: json.slice(0, LONG), row, node: null };
}

/**
 * The fields of a message; none where it is a text or a list, which have an `at` of their own.
 * @param {unknown} message
 * @returns {Record<string, unknown>}
 */
const fields = (message) => (typeof message === "object" && !Array.isArray(message) ? Object(message) : {});

/**
 * The words of a program's output.
 * @param {string} output
 */
const plain = (output) => (output.includes("\x1b") ? output.replace(COLOURS, "") : output);

/**
 * JSON in one line, which is spread out when it is opened.
 * @param {string} json
 */
function folded(json) {
  if (json.length <= PREVIEW / 2 && !/^[[{]/.test(json)) return make("span", "words", json);
  const fold = make("details", "words");
  const summary = make("summary", "", json.length > PREVIEW ? `${json.slice(0, PREVIEW)}…` : json);
  fold.append(summary);
  fold.addEventListener("toggle", () => {
    if (!fold.open || fold.childElementCount > 1) return;
    const spread = JSON.stringify(JSON.parse(json), null, 2);
    const more = spread.length - LONG * 5;
    const rest = more > 0 ? text("cut", { count: number(more) }) : "";
    fold.append(make("pre", "", spread.slice(0, LONG * 5) + rest));
  });
  return fold;
}
