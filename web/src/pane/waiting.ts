/** Questions that wait for the end of an answer, above the box: to be changed, sent now, or taken back. */

import type { Conversation, Waiting as Entry } from "../data/index.js";
import { plain, type Content } from "../data/types.js";
import { arrange, make } from "../shell/dom.js";
import { effect, untracked } from "../signal.js";
import { language, say } from "../words/index.js";
import { Buttons, text } from "./view.js";

export interface WaitingParts {
  /** Put a question back into the box. */
  back(content: Content): void;
}

interface Row {
  element: HTMLElement;
  words: HTMLElement;
  buttons: Buttons;
  row: HTMLElement;
}

export class Waiting {
  readonly element = make("ul", { class: "waiting" });
  #parts: WaitingParts;
  #held = make("li", { class: "note", role: "status" });
  #rows = new Map<string, Row>();

  constructor(parts: WaitingParts) {
    this.#parts = parts;
  }

  /** Show what waits in a conversation; return what ends that. */
  open(conversation: Conversation): () => void {
    const { entries, held } = conversation.queue;
    return effect(() => {
      void language.value;
      const all = entries.value;
      const waits = held.value && all.length > 0;
      untracked(() => this.#draw(conversation, all, waits));
    });
  }

  #draw(conversation: Conversation, entries: readonly Entry[], held: boolean): void {
    text(this.#held, held ? say("box.nextHeld") : "");
    const rows = entries.map((entry) => this.#row(conversation, entry));
    for (const id of this.#rows.keys()) if (!entries.some((one) => one.id === id)) this.#rows.delete(id);
    arrange(this.element, [...rows, ...(held ? [this.#held] : [])]);
    this.element.hidden = !entries.length;
  }

  #row(conversation: Conversation, { id, content }: Entry): HTMLElement {
    let found = this.#rows.get(id);
    if (!found) {
      const words = make("span", { class: "words", dir: "auto" });
      const row = make("span", { class: "row-of" });
      found = { element: make("li", { class: "next" }, words, row), words, buttons: new Buttons(), row };
      this.#rows.set(id, found);
    }
    const { buttons } = found;
    text(found.words, say("box.next", { text: plain(content).replace(/\s+/g, " ").slice(0, 200) }));
    const edit = buttons.round("edit", "box.nextEdit", () => {
      const one = conversation.queue.withdraw(id);
      if (one) this.#parts.back(one.content);
    });
    const now = buttons.round("send", "box.nextNow", () => void conversation.sendNow(id));
    const withdraw = buttons.round("close", "box.nextWithdraw", () => void conversation.queue.withdraw(id));
    arrange(found.row, [edit, now, withdraw]);
    return found.element;
  }
}
