/** The form for the key that the service wants. */

import type { Keys } from "../data/keys.js";
import { effect, signal } from "../signal.js";
import { say, type Key } from "../words/index.js";
import { make, worded } from "./dom.js";
import { Dialog } from "./dialog.js";

/** What a header can carry: a key that was copied with an ellipsis or a space in it is none. */
const KEY = /^[\x21-\x7e]+$/;

export class KeyForm {
  readonly dialog: Dialog;
  #keys: Keys;
  #field = make("input", { id: "key-field", type: "password", autocomplete: "off", autocapitalize: "none", spellcheck: "false", "aria-describedby": "key-why key-wrong" });
  #keep = make("input", { type: "checkbox", id: "key-keep" });
  #wrong = make("p", { class: "wrong", id: "key-wrong", role: "alert" });
  #said = signal<Key | undefined>(undefined);
  #given = false;

  constructor(keys: Keys, closed: () => void) {
    this.#keys = keys;
    this.dialog = new Dialog("key", "key.title", closed);
    const send = worded(make("button", { type: "submit", class: "primary" }), "key.use");
    const form = make(
      "form",
      { novalidate: "", autocomplete: "off" },
      worded(make("p", { id: "key-why" }), "key.why"),
      make("div", { class: "field" }, worded(make("label", { for: "key-field" }), "key.label"), this.#field, this.#wrong),
      make("label", { class: "check" }, this.#keep, worded(make("span"), "key.keep")),
      make("div", { class: "ends" }, send),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#use();
    });
    this.dialog.body.append(form);
    effect(() => {
      const said = this.#said.value;
      this.#wrong.textContent = said ? say(said) : "";
      this.#field.setAttribute("aria-invalid", `${said !== undefined}`);
    });
    effect(() => {
      void keys.missed.value;
      if (keys.wanted.value === "person") this.show();
      else this.dialog.close();
    });
  }

  show(): void {
    this.#said.value = this.#given ? "key.wrong" : undefined;
    this.dialog.show(this.#field);
    this.#field.select();
  }

  #use(): void {
    const key = this.#field.value.trim();
    if (!KEY.test(key)) {
      this.#said.value = key ? "key.malformed" : "key.missing";
      this.#field.focus();
      return;
    }
    this.#given = true;
    this.#keys.give(key, this.#keep.checked);
  }
}
