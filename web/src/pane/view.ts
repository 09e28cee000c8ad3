/** What the views of the pane share. */

import type { Conversation, Data, MessageNode } from "../data/index.js";
import type { Choices } from "../data/choices.js";
import { icon, make } from "../shell/dom.js";
import { say, type Key, type Values } from "../words/index.js";

export interface Context {
  readonly data: Data;
  readonly choices: Choices;
  readonly conversation: Conversation;
  /** Say something to people who do not see the screen. */
  tell(text: string): void;
  /** Change what is on the page, without that an element moves on the screen. */
  keep(element: HTMLElement, change: () => void): void;
  /** Take another version of a message; its place on the screen stays. */
  turnTo(node: MessageNode, by: -1 | 1): void;
  /** What had the focus is gone: the box has it. */
  focus(): void;
  /** The element of a question's text is about to be edited; undefined when that has ended. */
  editing(cancel: (() => void) | undefined): void;
  frame(draw: () => void): void;
}

/** Draws at most once a frame, and once at the beginning. In a page that is not seen, what changed is drawn on return. */
export class Frames {
  #asked = false;
  #closed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #draw: () => void;
  readonly #frame: (draw: () => void) => void;

  constructor(draw: () => void, frame: (draw: () => void) => void) {
    this.#draw = draw;
    this.#frame = frame;
  }

  ask(): void {
    if (this.#asked || this.#closed) return;
    this.#asked = true;
    this.#frame(() => this.now());
  }

  now(): void {
    this.#asked = false;
    if (!this.#closed) this.#draw();
  }

  /** Draw again in a while: something counts seconds. */
  later(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.ask(), ms);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

/** Buttons of a view by their names: made once, so that they keep the focus, and worded at each draw. */
export class Buttons {
  #made = new Map<string, HTMLButtonElement>();

  /** Return a round button with an icon. */
  round(name: string, key: Key, act: (button: HTMLButtonElement) => void, values?: Values): HTMLButtonElement {
    const made = this.#get(`${name} ${key}`, () => make("button", { type: "button", class: "quiet round", autocomplete: "off" }, icon(name)), act);
    const words = say(key, values);
    if (made.title !== words) {
      made.title = words;
      made.setAttribute("aria-label", words);
    }
    return made;
  }

  /** Return a button of words. */
  plain(key: Key, act: (button: HTMLButtonElement) => void, look = "plain"): HTMLButtonElement {
    const made = this.#get(key, () => make("button", { type: "button", class: look, autocomplete: "off" }), act);
    text(made, say(key));
    return made;
  }

  #get(name: string, create: () => HTMLButtonElement, act: (button: HTMLButtonElement) => void): HTMLButtonElement {
    const before = this.#made.get(name);
    if (before) return before;
    const made = create();
    made.addEventListener("click", () => act(made));
    this.#made.set(name, made);
    return made;
  }
}

/** Write a text where it is another one; a selection in the same one stays. */
export function text(element: Element, words: string): void {
  if (element.textContent !== words) element.textContent = words;
}

/** Whether Enter breaks the line: on a touch screen, or where that was chosen. */
export function breaks({ choices }: Pick<Context, "choices">): boolean {
  const chosen = choices.get("enter");
  return chosen ? chosen === "breaks" : matchMedia("(pointer: coarse)").matches;
}
