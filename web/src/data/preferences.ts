/** What a person has chosen for a conversation. It is stored as the conversation's metadata, a moment after the last change. */

import { signal, type Signal } from "../signal.js";
import type { Problem } from "../turn/index.js";
import { troubleOf, type Api } from "./api.js";
import { debounced, onHide } from "./page.js";
import type { ConversationView, Metadata } from "./types.js";

const PAUSE = 800;

export class Preferences {
  readonly value: Signal<Metadata>;
  readonly problem: Signal<Problem | undefined> = signal(undefined);
  #api: Api;
  #id: string | undefined;
  #mine = new Set<string>(); // what changed here and is not stored yet
  #store = debounced(PAUSE, () => void this.#send());
  #unhide = onHide(() => this.#store.now());

  /** Without an `id` they wait until the conversation has one. */
  constructor(api: Api, id: string | undefined, value: Metadata) {
    this.#api = api;
    this.#id = id;
    this.value = signal(value);
  }

  /** Change some; undefined removes. */
  set(changes: Metadata): void {
    const names = Object.keys(changes).filter((name) => changes[name] !== this.value.peek()[name]);
    if (!names.length) return;
    for (const name of names) this.#mine.add(name);
    this.value.value = clean({ ...this.value.peek(), ...changes });
    if (this.#id) this.#store.later();
  }

  /** Take what is stored; what changed here meanwhile stays. */
  read(stored: Metadata): void {
    const mine = Object.fromEntries([...this.#mine].map((name) => [name, this.value.peek()[name]]));
    const value = clean({ ...stored, ...mine });
    if (JSON.stringify(value) !== JSON.stringify(this.value.peek())) this.value.value = value;
  }

  /** The conversation has got its id. */
  move(id: string): void {
    this.#id = id;
    if (this.#mine.size) this.#store.later();
  }

  close(): void {
    this.#store.now();
    this.#unhide();
  }

  async #send(): Promise<void> {
    const sent = [...this.#mine];
    this.#mine.clear();
    try {
      const path = `ai/conversations/${this.#id}`;
      await this.#api.json<ConversationView>("PATCH", path, { metadata: this.value.peek() }, { keepalive: true });
      this.problem.value = undefined;
    } catch (error) {
      // They hold in this page, and go along with the next change.
      for (const name of sent) this.#mine.add(name);
      this.problem.value = troubleOf(error);
    }
  }
}

const clean = (value: Metadata): Metadata =>
  Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined && one !== ""));
