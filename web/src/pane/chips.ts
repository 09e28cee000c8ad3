/** What goes along with the question, above the words: each can be looked at, and taken out. */

import { make } from "../shell/dom.js";
import { effect, type Signal } from "../signal.js";
import { language, say } from "../words/index.js";
import type { Attachment } from "./attachments.js";
import { linesOf } from "./quote.js";
import { Buttons } from "./view.js";

export interface ChipsParts {
  /** Put a text into the box, where the caret is. */
  insert(words: string): void;
  changed(): void;
}

export class Chips {
  readonly element = make("div", { class: "chips" });
  #attachments: Signal<readonly Attachment[]>;
  #parts: ChipsParts;

  constructor(attachments: Signal<readonly Attachment[]>, parts: ChipsParts) {
    this.#attachments = attachments;
    this.#parts = parts;
    effect(() => {
      void language.value;
      this.element.replaceChildren(...attachments.value.map((one) => this.#chip(one)));
      this.element.hidden = !attachments.value.length;
    });
  }

  #chip(attachment: Attachment): HTMLElement {
    const buttons = new Buttons();
    const name = nameOf(attachment);
    const remove = buttons.round("close", "box.remove", () => this.#remove(attachment), { name });
    if (attachment.kind === "picture") {
      return make("div", { class: "chip" }, make("img", { src: attachment.src, alt: "" }), make("span", { dir: "auto" }, name), remove);
    }
    const content = make("pre", { tabindex: "0", dir: "auto" }, attachment.text);
    const seen = make("details", {}, make("summary", { dir: "auto" }, name), content);
    const back = buttons.plain("box.pastedBack", () => {
      this.#remove(attachment);
      this.#parts.insert(attachment.text);
    }, "quiet");
    return make("div", { class: "chip" }, seen, ...(attachment.kind === "pasted" ? [back] : []), remove);
  }

  #remove(attachment: Attachment): void {
    this.#attachments.value = this.#attachments.peek().filter((one) => one !== attachment);
    this.#parts.changed();
  }
}

function nameOf(attachment: Attachment): string {
  switch (attachment.kind) {
    case "pasted":
      return say("box.pasted", { lines: linesOf(attachment.text) });
    case "file":
      return say("box.file", { name: attachment.name, lines: linesOf(attachment.text) });
    case "picture":
      return say("box.picture", { name: attachment.name, size: `${Math.ceil(attachment.bytes / 1024)} KB` });
  }
}
