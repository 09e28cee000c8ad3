/** What a model thinks: one line with its time, closed until a person opens it, and then as that person left it. */

import { make } from "../shell/dom.js";
import { Answer } from "../text/index.js";
import { over, reasoningOf, thought, type Turn } from "../turn/index.js";
import { language, say, textWords } from "../words/index.js";
import { Tail } from "./tail.js";
import { Buttons, text, type Context } from "./view.js";

const NEAR = 8; // pixels from the end at which the newest thought is followed

export class Thoughts {
  readonly element: HTMLDetailsElement;
  #context: Context;
  #line = make("summary");
  #body = make("div", { class: "body", tabindex: "0", role: "group" });
  #close = make("div", { class: "close" });
  #buttons = new Buttons();
  #answer: Answer | undefined;
  #tail = new Tail();
  #turn: Turn | undefined;
  #spoken = language.peek();

  constructor(context: Context) {
    this.#context = context;
    this.element = make("details", { class: "thoughts" }, this.#line, this.#body, this.#close);
    this.element.addEventListener("toggle", () => this.#fill());
  }

  /** Show how long it thinks, and, where it is open, what. */
  draw(turn: Turn, now: number): void {
    this.#turn = turn;
    const word = thought(turn, now);
    if (!word) return;
    text(this.#line, word.seconds === undefined ? say("turns.thoughts") : say(word.key, { seconds: word.seconds }));
    this.element.classList.toggle("live", turn.state === "thinking");
    this.#body.setAttribute("aria-label", say("turns.thoughts"));
    // Where they end, they can be closed too, and the answer below stays where it is.
    if (!this.#close.firstChild) this.#close.append(this.#buttons.plain("page.close", () => this.#fold(), "quiet"));
    else this.#buttons.plain("page.close", () => {});
    this.#fill();
  }

  /** While it is open, what comes is taken as it comes. */
  take(turn: Turn): void {
    if (this.element.open) this.#tail.take(reasoningOf(turn), turn.newest.reasoning);
  }

  /** The controls in the text speak another language. */
  #again(): void {
    this.#spoken = language.peek();
    this.#body.replaceChildren();
    this.#answer = undefined;
    this.#tail = new Tail();
  }

  #fold(): void {
    const next = this.element.nextElementSibling;
    const close = () => void (this.element.open = false);
    if (next instanceof HTMLElement) this.#context.keep(next, close);
    else close();
    this.#line.focus({ preventScroll: true });
  }

  /** Closed, nothing is rendered. Open, the newest thought stays in view until the person scrolls up in it. */
  #fill(): void {
    const turn = this.#turn;
    if (!turn || !this.element.open) return;
    const body = this.#body;
    const follows = body.scrollHeight - body.clientHeight - body.scrollTop <= NEAR;
    if (this.#spoken !== language.peek()) this.#again();
    this.take(turn);
    if (!this.#answer) {
      const element = make("div");
      body.append(element);
      this.#answer = new Answer(element, { words: textWords(), frame: (draw) => draw() });
    }
    this.#answer.append(this.#tail.read());
    if (over(turn.state)) this.#answer.end({ cut: turn.state !== "complete" });
    if (follows) body.scrollTop = body.scrollHeight;
  }
}
