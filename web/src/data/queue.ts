/**
 * Questions that wait for the end of an answer: seen, changed and taken back, sent in their order, and kept over a reload.
 *
 * How it works: tabs share what waits in a conversation. Each question has its run's id from the beginning: if two tabs send
 * it in the same moment, the service starts one run, and both read it.
 */

import { signal, type Signal } from "../signal.js";
import { newId } from "./ids.js";
import type { Store } from "./store.js";
import type { Content } from "./types.js";

export interface Waiting {
  /** Of its run. */
  readonly id: string;
  readonly content: Content;
}

const nameOf = (place: string): string => `queue.${place}`;

/** Give what waits in one place to another, before what waits there. */
export function joinQueues(store: Store, from: string, to: string): void {
  const all = [from, to].flatMap((place) => store.get<Waiting[]>(nameOf(place)) ?? []);
  store.set(nameOf(from), undefined);
  store.set(nameOf(to), all.length ? all : undefined);
}

export class Queue {
  readonly entries: Signal<readonly Waiting[]>;
  /** After an error nothing is sent by itself, until the person sends again. */
  readonly held: Signal<boolean> = signal(false);
  #store: Store;
  #name: string;
  #unwatch: () => void;

  constructor(store: Store, place: string) {
    this.#store = store;
    this.#name = nameOf(place);
    this.entries = signal(store.get<Waiting[]>(this.#name) ?? []);
    // Whether the answer before them went well is not known any more.
    this.held.value = this.entries.peek().length > 0;
    this.#unwatch = store.watch(() => {
      const stored = store.get<Waiting[]>(this.#name) ?? [];
      if (JSON.stringify(stored) !== JSON.stringify(this.entries.peek())) this.entries.value = stored;
    });
  }

  add(content: Content): void {
    this.#set([...this.entries.peek(), { id: newId(), content }]);
  }

  edit(id: string, content: Content): void {
    this.#set(this.entries.peek().map((one) => (one.id === id ? { ...one, content } : one)));
  }

  /** Take one out, and return it: it goes back to the box, is sent now, or nowhere. */
  withdraw(id: string): Waiting | undefined {
    const one = this.entries.peek().find((entry) => entry.id === id);
    this.#set(this.entries.peek().filter((entry) => entry !== one));
    return one;
  }

  /** Take the first out, unless they are held. */
  next(): Waiting | undefined {
    const first = this.entries.peek()[0];
    return first && !this.held.peek() ? this.withdraw(first.id) : undefined;
  }

  /** Take all out. */
  empty(): readonly Waiting[] {
    const all = this.entries.peek();
    this.#set([]);
    return all;
  }

  /** The conversation has got its id. */
  move(place: string): void {
    this.#store.set(this.#name, undefined);
    this.#name = nameOf(place);
    this.#set(this.entries.peek());
  }

  close(): void {
    this.#unwatch();
  }

  #set(entries: readonly Waiting[]): void {
    if (!entries.length) this.held.value = false;
    this.entries.value = entries;
    this.#store.set(this.#name, entries.length ? entries : undefined);
  }
}
