/** A block of code: its bar, and its lines in pieces, because one growing text node is laid out as a whole each time. */

import { follow, make } from "./dom.js";
import type { Words } from "./words.js";

const LINES = 32;
/** A piece with so many characters has no more lines. */
const LONG = 8000;
/** Code with so many lines may be higher than what is seen of it: its bar stays in view, which costs the browser a layer. */
const HIGH = 16;
/** Code with more lines, or with long ones, is not coloured. */
const COLOURED = 2000;

export class CodeBox {
  readonly node: HTMLElement;
  language: string;
  text = "";
  #code = make("code");
  #piece: Text | undefined;
  #lines = 0;
  /** The lines before the last piece. */
  #all = 0;
  /** Whether the last line is whole. */
  #whole = false;

  constructor(language: string, readonly words: Words) {
    this.language = language;
    const name = make("span", { class: "name" }, language || words.code);
    const wrap = make("button", { type: "button", class: "wrap", "aria-pressed": "false" }, words.wrap);
    const copy = make("button", { type: "button", class: "copy" }, words.copy);
    const bar = make("div", { class: "bar" }, name, wrap, copy);
    const pre = make("pre", { tabindex: "0", role: "group", "aria-label": language || words.code }, this.#code);
    this.node = make("div", { class: "code", dir: "ltr", translate: "no" }, bar, pre);
  }

  /** Show a text; as much of it as is there already stays. */
  set(text: string): void {
    if (!text.startsWith(this.text)) {
      this.#code.replaceChildren();
      this.text = "";
      this.#piece = undefined;
      this.#lines = this.#all = 0;
    }
    this.add(text.slice(this.text.length));
  }

  add(text: string): void {
    this.text += text;
    for (let at = 0; at < text.length; ) {
      if (!this.#piece || (this.#whole && this.#full())) this.#begin();
      let end = at;
      do {
        const next = text.indexOf("\n", end);
        this.#whole = next >= 0;
        end = this.#whole ? next + 1 : text.length;
        if (this.#whole && ++this.#lines === HIGH) this.node.classList.add("high");
      } while (end < text.length && !this.#full(end - at));
      this.#piece!.appendData(text.slice(at, end));
      at = end;
    }
  }

  #full(more = 0): boolean {
    return this.#lines === LINES || this.#piece!.length + more > LONG;
  }

  #begin(): void {
    const full = this.#piece?.parentElement;
    this.#all += full && this.#lines < LINES ? COLOURED : this.#lines;
    this.#lines = 0;
    this.#piece = document.createTextNode("");
    const lines = make("span", { class: "lines" }, this.#piece);
    if (full) follow(full, lines);
    else this.#code.append(lines);
  }

  /** The pieces to colour, unless there are too many. */
  get pieces(): Element[] {
    return this.#all + this.#lines > COLOURED ? [] : [...this.#code.querySelectorAll(".lines")];
  }
}

let painting: Promise<void> = Promise.resolve();

/** Colour a finished block of code when there is time. */
export function colour(box: CodeBox): void {
  if (!box.language || !box.pieces.length) return;
  painting = painting.then(() => paint(box)).catch(() => undefined); // Without a network code has no colours.
}

async function paint(box: CodeBox): Promise<void> {
  await (await import("./highlight.js")).paint(box, LINES);
}

/** All that is to be coloured has been. */
export async function coloured(): Promise<void> {
  await painting;
}
