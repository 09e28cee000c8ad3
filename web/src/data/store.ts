/** What the browser keeps for the page. Where it keeps nothing (switched off, full), the page has it until it is left. */

import { signal, type Signal } from "../signal.js";

const PREFIX = "stream-serve.";

export class Store {
  /** The names of what the browser does not keep. */
  readonly unkept: Signal<readonly string[]> = signal([]);
  /** Where the browser fails: a text that it does not keep, undefined for one that it does not remove. */
  #memory = new Map<string, string | undefined>();
  #place: () => Storage;

  /** `place` returns the storage; it throws where storage is switched off. */
  constructor(place: () => Storage) {
    this.#place = place;
  }

  get<T>(name: string): T | undefined {
    try {
      return JSON.parse(this.text(name) ?? "null") ?? undefined;
    } catch {
      return undefined;
    }
  }

  /** Keep a value as JSON; undefined removes it. */
  set(name: string, value: unknown): void {
    this.setText(name, value === undefined ? undefined : JSON.stringify(value));
  }

  text(name: string): string | undefined {
    if (this.#memory.has(name)) return this.#memory.get(name);
    try {
      return this.#place().getItem(PREFIX + name) ?? undefined;
    } catch {
      return undefined;
    }
  }

  setText(name: string, text: string | undefined): void {
    const before = this.#memory.get(name);
    this.#memory.delete(name);
    try {
      if (text === undefined) this.#place().removeItem(PREFIX + name);
      else this.#place().setItem(PREFIX + name, text);
    } catch {
      this.#memory.set(name, text);
      this.#forget(name);
    }
    if ((before === undefined) !== (this.#memory.get(name) === undefined)) this.unkept.value = this.#held();
  }

  /** Give what is kept under a name another one. */
  move(from: string, to: string): void {
    const value = this.text(from);
    if (value === undefined) return;
    this.setText(from, undefined); // first: a full storage has no room for both
    this.setText(to, value);
  }

  /** Return what follows a prefix in the names of all that is kept. */
  names(prefix: string): string[] {
    const all = this.#held();
    try {
      const place = this.#place();
      for (let at = 0; at < place.length; at++) {
        const name = (place.key(at) ?? "").slice(PREFIX.length);
        if (!this.#memory.has(name)) all.push(name);
      }
    } catch {} // switched off: there is nothing
    return all.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  }

  /** Call a function when another tab has changed something; return what ends that. */
  watch(call: () => void): () => void {
    addEventListener("storage", call);
    return () => removeEventListener("storage", call);
  }

  /** The names of the texts that the browser does not keep. */
  #held(): string[] {
    return [...this.#memory].filter(([, text]) => text !== undefined).map(([name]) => name);
  }

  /** What is not true any more is not to be there after a reload. */
  #forget(name: string): void {
    try {
      this.#place().removeItem(PREFIX + name);
    } catch {} // switched off: there is nothing
  }
}
