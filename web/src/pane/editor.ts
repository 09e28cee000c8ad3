/** A question that is edited in its place: what is typed is a draft, and what keeps it from being sent is said. */

import { editOf, type MessageNode } from "../data/index.js";
import { composing, make, plainButton, worded } from "../shell/dom.js";
import { effect } from "../signal.js";
import { say } from "../words/index.js";
import { split, withQuotes } from "./quote.js";
import { blind, pictured } from "./sight.js";
import { breaks, text, type Context } from "./view.js";

export interface EditorParts {
  cancel(): void;
  send(words: string): void;
}

export class Editor {
  readonly element: HTMLFormElement;
  #box = worded(make("textarea", { dir: "auto", autocomplete: "off" }), "turns.editLabel", "aria-label");
  #submit = worded(make("button", { type: "submit", class: "primary" }), "turns.editSend");
  #stop: () => void;

  constructor(node: MessageNode, context: Context, parts: EditorParts) {
    const { drafts } = context.data;
    const place = editOf(node.id);
    const { words, quotes } = split(node.text);
    this.#box.value = drafts.get(place) || words;
    const send = () => {
      if (this.#submit.disabled || !this.#box.value.trim()) return;
      this.#submit.disabled = true; // one branch, however often it is pressed
      parts.send(withQuotes(this.#box.value, quotes));
    };
    const wrong = make("p", { class: "wrong", role: "alert" });
    this.element = make("form", { class: "editor" }, this.#box, wrong, make("div", { class: "ends" }, plainButton("page.cancel", parts.cancel), this.#submit));
    this.#box.addEventListener("input", () => drafts.set(place, this.#box.value));
    this.#box.addEventListener("keydown", (event) => {
      if (composing(event) || event.key !== "Enter" || event.shiftKey) return;
      if (!event.ctrlKey && !event.metaKey && breaks(context)) return;
      event.preventDefault();
      send();
    });
    this.element.addEventListener("submit", (event) => (event.preventDefault(), send()));
    this.#stop = effect(() => {
      const why = hindrance(node, context);
      text(wrong, why);
      this.#submit.disabled = why !== "";
    });
  }

  focus(): void {
    this.#box.focus({ preventScroll: true });
    this.#box.setSelectionRange(this.#box.value.length, this.#box.value.length);
  }

  close(): void {
    this.#stop();
    this.element.remove();
  }
}

/** Return why the question cannot be sent now, or nothing. */
function hindrance({ content }: MessageNode, context: Context): string {
  const model = pictured(content) ? blind(context) : undefined;
  if (model) return say("box.blind", { model: model.name });
  return context.conversation.live.value ? say("turns.editWaits") : "";
}
