/** What the browser keeps for the page. Where it keeps nothing (switched off, full), the page has it until it is left. */

const PREFIX = "stream-serve.";

export class Store {
  #memory = new Map<string, string>();
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
    this.#memory.delete(name);
    try {
      if (text === undefined) this.#place().removeItem(PREFIX + name);
      else this.#place().setItem(PREFIX + name, text);
    } catch {
      if (text !== undefined) this.#memory.set(name, text);
    }
  }

  /** Give what is kept under a name another one. */
  move(from: string, to: string): void {
    const value = this.text(from);
    if (value === undefined) return;
    this.setText(to, value);
    this.setText(from, undefined);
  }

  /** Call a function when another tab has changed something; return what ends that. */
  watch(call: () => void): () => void {
    addEventListener("storage", call);
    return () => removeEventListener("storage", call);
  }
}
