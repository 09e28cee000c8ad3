/** Dialogs over the page. Esc, a click beside it and its button close it; the focus goes back to where it was. */

import { composing, make, round, worded } from "./dom.js";
import type { Key } from "../words/index.js";

/** A dialog that is made when it is opened first. */
export class Dialog {
  readonly element: HTMLDialogElement;
  readonly body: HTMLElement;

  constructor(id: string, title: Key, closed: () => void = () => {}) {
    const heading = worded(make("h2", { id: `${id}-title` }), title);
    const close = round("close", "page.close", () => this.close());
    this.body = make("div", { class: "body" });
    this.element = make("dialog", { id, class: "box", "aria-labelledby": `${id}-title` }, make("header", {}, heading, close), this.body);
    this.element.addEventListener("close", closed);
    this.element.addEventListener("mousedown", (event) => event.target === this.element && this.close());
    // Esc of an input method is its own; the browser would close the dialog.
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && composing(event)) event.preventDefault();
    });
    document.body.append(this.element);
  }

  get open(): boolean {
    return this.element.open;
  }

  show(focus?: HTMLElement): void {
    if (!this.open) this.element.showModal();
    (focus ?? this.body.querySelector<HTMLElement>("input, select, textarea, button"))?.focus();
  }

  close(): void {
    if (this.open) this.element.close();
  }
}
