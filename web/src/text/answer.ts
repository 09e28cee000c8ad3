/** An answer on the screen: text goes in piece by piece, and is shown at most once a frame. */

import { Blocks } from "./blocks.js";
import { Markdown } from "./lex.js";
import { Views } from "./views.js";
import type { Words } from "./words.js";

export interface AnswerOptions {
  words: Words;
  /** Whether one dollar begins a formula. */
  dollars?: boolean;
  /** Says something to people who do not see the screen. */
  announce?: (text: string) => void;
  /** Calls back when something is to be drawn; the next frame unless given. */
  frame?: (draw: () => void) => void;
  /** A draw that took longer than this many ms makes the next one wait four times as long; 8 unless given. */
  budget?: number;
}

/** What waits for more text is shown after this many ms without. */
const PATIENCE = 250;

export class Answer {
  #source: string[] = [];
  #pending = "";
  /** The half of a character, or of a line's end, that came at a piece's end. */
  #half = "";
  #asked = false;
  #ended = false;
  #notBefore = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #blocks: Blocks;
  readonly #frame: (draw: () => void) => void;

  constructor(readonly element: HTMLElement, readonly options: AnswerOptions) {
    const markdown = new Markdown(options.dollars);
    this.#blocks = new Blocks(markdown, new Views(element, markdown, options.words));
    this.#frame = options.frame ?? ((draw) => void requestAnimationFrame(draw));
    element.classList.add("answer");
    element.addEventListener("click", (event) => this.#click(event));
  }

  /** Add a piece of the text. */
  append(text: string): void {
    if (this.#ended || !text) return;
    const whole = this.#half + text;
    const cut = /[\ud800-\udbff\r]$/.test(whole) ? 1 : 0;
    this.#half = cut ? whole.at(-1)! : "";
    this.#take(cut ? whole.slice(0, -1) : whole);
    this.#ask();
  }

  /** The text is complete; `cut` says that it was stopped, so that what was open is not shown as signs. */
  end({ cut = false } = {}): void {
    if (this.#ended) return;
    this.#take(this.#half);
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#draw(true);
    this.#blocks.end(cut);
  }

  /** Show a stored answer at once. */
  set(text: string, options: { cut?: boolean } = {}): void {
    this.append(text);
    this.end(options);
  }

  /** Return the text as it was written. */
  markdown(): string {
    if (this.#source.length > 1) this.#source = [this.#source.join("")];
    return this.#source[0] ?? "";
  }

  #take(text: string): void {
    if (!text) return;
    // Noncharacters are used inside for formulas.
    const clean = text.replace(/\r\n?/g, "\n").replace(/[\ufdd0\ufdd1]/g, "\ufffd");
    this.#source.push(clean);
    this.#pending += clean;
  }

  #ask(): void {
    if (this.#asked || this.#ended) return;
    this.#asked = true;
    const wait = this.#notBefore - performance.now();
    const ask = () => this.#frame(() => this.#draw());
    if (wait > 0) setTimeout(ask, wait);
    else ask();
  }

  #draw(now = false): void {
    this.#asked = false;
    if (this.#ended && !now) return;
    const begin = performance.now();
    const text = this.#pending;
    this.#pending = "";
    clearTimeout(this.#timer);
    if (!this.#blocks.add(text, now && !this.#ended)) this.#timer = setTimeout(() => this.#draw(true), PATIENCE);
    const end = performance.now();
    if (end - begin > (this.options.budget ?? 8)) this.#notBefore = end + 4 * (end - begin);
  }

  #click(event: Event): void {
    const button = (event.target as Element).closest<HTMLElement>(".code > .bar > button");
    const box = button?.closest(".code");
    if (!button || !box) return;
    if (button.className === "wrap") {
      const wraps = box.classList.toggle("wraps");
      button.setAttribute("aria-pressed", String(wraps));
    } else void this.#copy(button, box.querySelector("code")!.textContent!.replace(/\n$/, ""));
  }

  async #copy(button: HTMLElement, text: string): Promise<void> {
    const { copied, copy, notCopied } = this.options.words;
    const done = await import("./clipboard.js").then(({ copyText }) => copyText(text)).catch(() => false);
    const said = done ? copied : notCopied;
    button.textContent = said;
    this.options.announce?.(said);
    setTimeout(() => (button.textContent = copy), 1500);
  }
}
