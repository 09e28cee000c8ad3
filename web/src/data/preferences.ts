/**
 * What a person has chosen for a conversation. It is stored as the conversation's metadata, a moment after the last change.
 * Until the service has it, the browser has it, too: a page that is loaded anew may read before it is stored, and a
 * conversation that nothing was asked in is not stored at all.
 */

import { signal, type Signal } from "../signal.js";
import type { Problem } from "../turn/index.js";
import { troubleOf, type Api } from "./api.js";
import { debounced, onHide } from "./page.js";
import type { Store } from "./store.js";
import type { ConversationView, Metadata } from "./types.js";

const PAUSE = 800;

const nameOf = (place: string): string => `chosen.${place}`;

/** Give what was chosen in one place to another, which keeps its own; return whether that is anything. */
export function moveChosen(session: Store, from: string, to: string): boolean {
  const chosen = session.get<Metadata>(nameOf(from));
  if (!chosen) return false;
  session.set(nameOf(to), { ...chosen, ...session.get<Metadata>(nameOf(to)) });
  session.set(nameOf(from), undefined);
  return true;
}

export class Preferences {
  readonly value: Signal<Metadata>;
  readonly problem: Signal<Problem | undefined> = signal(undefined);
  #api: Api;
  #session: Store;
  #id: string | undefined;
  #place: string; // where the browser has it
  #stored: (conversation: ConversationView) => void;
  #mine = new Set<string>(); // what changed here and is not stored yet
  #store = debounced(PAUSE, () => void this.#send());
  #unhide = onHide(() => this.#store.now());

  /** Without an `id` they wait in the conversation's `home` until it has one; `stored` is told what the service has then. */
  constructor(api: Api, session: Store, id: string | undefined, value: Metadata, stored: (conversation: ConversationView) => void = () => {}, home = "") {
    this.#api = api;
    this.#stored = stored;
    this.#session = session;
    this.#id = id;
    this.#place = id ?? home;
    this.value = signal(value);
    this.recall();
  }

  /** Take what the browser has. */
  recall(): void {
    const waiting = this.#session.get<Metadata>(nameOf(this.#place)) ?? {};
    for (const name of Object.keys(waiting)) this.#mine.add(name);
    this.value.value = clean({ ...this.value.peek(), ...waiting });
  }

  /** Change some; undefined removes. */
  set(changes: Metadata): void {
    const names = Object.keys(changes).filter((name) => changes[name] !== this.value.peek()[name]);
    if (!names.length) return;
    for (const name of names) this.#mine.add(name);
    this.value.value = clean({ ...this.value.peek(), ...changes });
    this.#later();
  }

  /** Take what is stored; what changed here meanwhile stays. */
  read(stored: Metadata): void {
    const mine = Object.fromEntries([...this.#mine].map((name) => [name, this.value.peek()[name]]));
    const value = clean({ ...stored, ...mine });
    if (JSON.stringify(value) !== JSON.stringify(this.value.peek())) this.value.value = value;
    // Not before: what is stored there replaces all that is.
    if (this.#mine.size) this.#store.later();
  }

  /** The conversation has got its id. */
  move(id: string): void {
    this.#session.set(nameOf(this.#place), undefined);
    this.#id = this.#place = id;
    if (this.#mine.size) this.#later();
  }

  close(): void {
    this.#store.now();
    this.#unhide();
  }

  #later(): void {
    this.#keep();
    if (this.#id) this.#store.later();
  }

  /** Keep what is not stored yet; what was taken back is "" there. */
  #keep(): void {
    const mine = [...this.#mine].map((name) => [name, this.value.peek()[name] ?? ""]);
    this.#session.set(nameOf(this.#place), mine.length ? Object.fromEntries(mine) : undefined);
  }

  async #send(): Promise<void> {
    const metadata = this.value.peek();
    const sent = [...this.#mine];
    try {
      const path = `ai/conversations/${this.#id}`;
      const stored = await this.#api.json<ConversationView>("PATCH", path, { metadata }, { keepalive: true });
      this.problem.value = undefined;
      // What changed again meanwhile is not stored yet.
      for (const name of sent) if (this.value.peek()[name] === metadata[name]) this.#mine.delete(name);
      this.#stored(stored);
      this.#keep();
    } catch (error) {
      // They hold in this page, and go along with the next change.
      this.problem.value = troubleOf(error);
    }
  }
}

const clean = (value: Metadata): Metadata =>
  Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined && one !== ""));
