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
  /**
   * A draw that took longer than this many ms makes the next one wait four times as long, and one that takes four times
   * as long ends, with text left for the next one; 8 unless given.
   */
  budget?: number;
}

/** So many characters, whatever they are, are shown at once. */
const SLICE = /^[^]{0,1000}/u;

/** What waits for more text is shown after this many ms without. */
const PATIENCE = 250;

export class Answer {
  #source: string[] = [];
  #pending = "";
  /** The half of a character, or of a line's end, that came at a piece's end. */
  #half = "";
  #asked = false;
  #ended = false;
  #cut = false;
  #notBefore = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #views: Views;
  readonly #blocks: Blocks;
  readonly #frame: (draw: () => void) => void;

  constructor(readonly element: HTMLElement, readonly options: AnswerOptions) {
    const markdown = new Markdown(options.dollars);
    this.#views = new Views(element, markdown, options.words);
    this.#blocks = new Blocks(markdown, this.#views);
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
    this.#cut = cut;
    this.#draw();
  }

  /** Show what is left of a long text, all at once. */
  rest(): void {
    this.#draw(false, Infinity);
  }

  /** Show a stored answer, what is left of a long one slice by slice. */
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

  #ask(wait = this.#notBefore - performance.now()): void {
    if (this.#asked) return;
    this.#asked = true;
    const ask = () => this.#frame(() => this.#draw());
    clearTimeout(this.#timer);
    if (wait > 0) this.#timer = setTimeout(ask, wait);
    else ask();
  }

  #draw(now = false, budget = this.options.budget ?? 8): void {
    this.#asked = false;
    clearTimeout(this.#timer);
    const begin = performance.now();
    // Of each something is done in every draw, however long the other takes.
    this.#views.link();
    let took, shown, more;
    do {
      if (took === undefined || this.#pending) {
        const slice = SLICE.exec(this.#pending)![0];
        this.#pending = this.#pending.slice(slice.length);
        shown = this.#blocks.add(slice, now);
        if (this.#ended && !this.#pending) this.#blocks.end(this.#cut);
      } else this.#views.link();
      took = performance.now() - begin;
      more = !!this.#pending || this.#views.late;
    } while (more && took < 4 * budget);
    if (took > budget) this.#notBefore = begin + 5 * took;
    // What a person does comes before the rest.
    if (more) this.#ask(1);
    else if (!shown) this.#timer = setTimeout(() => this.#draw(true), PATIENCE);
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
