/** What a reader has chosen for this page, in this browser. */

import { signal, type Signal } from "../signal.js";
import type { Store } from "./store.js";

export interface Choice {
  /** "" is what the browser or the system says. */
  language: "" | "en" | "zh";
  theme: "" | "light" | "dark";
  /** What Enter does: "" sends where there is a keyboard, and breaks the line on a touch screen. */
  enter: "" | "sends" | "breaks";
  /** What a screen reader hears of an answer. */
  voice: "sentences" | "end" | "off";
  /** Whether keys without a modifier do something outside of a field. */
  letters: "on" | "off";
  /** What becomes of HTML in a model's text: "" is shown as it is written. */
  html: "" | "hide";
}

const ALLOWED: { readonly [Name in keyof Choice]: readonly Choice[Name][] } = {
  language: ["", "en", "zh"],
  theme: ["", "light", "dark"],
  enter: ["", "sends", "breaks"],
  voice: ["sentences", "end", "off"],
  letters: ["on", "off"],
  html: ["", "hide"],
};

/** Each choice is a text of its own; the debug page has the language under the same name. */
export class Choices {
  readonly #store: Store;
  readonly #signals = {
    language: signal<Choice["language"]>(""),
    theme: signal<Choice["theme"]>(""),
    enter: signal<Choice["enter"]>(""),
    voice: signal<Choice["voice"]>("sentences"),
    letters: signal<Choice["letters"]>("on"),
    html: signal<Choice["html"]>(""),
  };

  constructor(store: Store) {
    this.#store = store;
    for (const name of Object.keys(ALLOWED) as (keyof Choice)[]) this.#read(name);
  }

  get<Name extends keyof Choice>(name: Name): Choice[Name] {
    return this.#signal(name).value;
  }

  set<Name extends keyof Choice>(name: Name, value: Choice[Name]): void {
    this.#signal(name).value = value;
    this.#store.setText(name, value || undefined);
  }

  /** Take a value from a form, which knows texts only; what is none of the choices is left. */
  take(name: keyof Choice, value: string): void {
    if ((ALLOWED[name] as readonly string[]).includes(value)) this.set(name, value as never);
  }

  #read(name: keyof Choice): void {
    const kept = this.#store.text(name);
    if (kept !== undefined && (ALLOWED[name] as readonly string[]).includes(kept)) this.#signal(name).value = kept as never;
  }

  #signal<Name extends keyof Choice>(name: Name): Signal<Choice[Name]> {
    return this.#signals[name] as unknown as Signal<Choice[Name]>;
  }
}
