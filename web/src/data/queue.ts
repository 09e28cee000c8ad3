/**
 * Questions that wait for the end of an answer: seen, taken back (into the box, to be changed), sent in their order, and kept over a reload.
 *
 * How it works: tabs share what waits in a conversation, and the id of the run that the first one waits behind: a tab that has
 * not heard of that run, or of its end, sends nothing. Each question has its run's id from the beginning: if two tabs send
 * it in the same moment, the service starts one run, and both read it. What is kept is read anew before each change.
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

interface Kept {
  /** The run that the first one waits behind; "" is none that is known. */
  readonly behind: string;
  readonly entries: readonly Waiting[];
}

const nameOf = (place: string): string => `queue.${place}`;

const read = (store: Store, name: string): Kept => ({ behind: "", entries: [], ...store.get<Kept>(name) });

const keep = (store: Store, name: string, kept: Kept): void => store.set(name, kept.entries.length ? kept : undefined);

/** Give what waits in one place to another, before what waits there; return whether anything does. */
export function joinQueues(store: Store, from: string, to: string): boolean {
  const [first, second] = [from, to].map((place) => read(store, nameOf(place))) as [Kept, Kept];
  if (!first.entries.length) return false;
  store.set(nameOf(from), undefined);
  keep(store, nameOf(to), { ...first, entries: [...first.entries, ...second.entries] });
  return true;
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
    this.entries = signal([]);
    this.recall();
    this.#unwatch = store.watch(() => this.#show(this.#read().entries));
  }

  /** The run that the first one waits behind; "" is none that is known. */
  get behind(): string {
    return this.#read().behind;
  }

  /** Let one wait behind a run, or behind those that wait already. */
  add(content: Content, behind: string): void {
    const kept = this.#read();
    this.#set([...kept.entries, { id: newId(), content }], kept.entries.length ? kept.behind : behind);
  }

  /** Take one out, and return it: it goes back to the box, or nowhere. */
  withdraw(id: string): Waiting | undefined {
    return this.#take(id, this.behind);
  }

  /** Take one out to send it, the first unless another one is named; the others wait behind it. */
  send(id: string | undefined = this.#read().entries[0]?.id): Waiting | undefined {
    return id === undefined ? undefined : this.#take(id, id);
  }

  /** An answer is on its way. What waits behind it goes on after it, and, if it was asked `here`, all that is not held. */
  answering(runId: string, here: boolean): void {
    const { behind, entries } = this.#read();
    if (behind && behind !== runId && (!here || this.held.peek())) return;
    this.held.value = false;
    if (behind !== runId) this.#set(entries, runId);
  }

  /** Take all out. */
  empty(): readonly Waiting[] {
    const all = this.#read().entries;
    this.#set([], "");
    return all;
  }

  /** The conversation has got its id. */
  move(place: string): void {
    const { behind, entries } = this.#read();
    this.#store.set(this.#name, undefined);
    this.#name = nameOf(place);
    this.#set(entries, behind);
  }

  /** Take what was kept. Whether the answer before them went well is not known any more. */
  recall(): void {
    this.#show(this.#read().entries);
    this.held.value = this.entries.peek().length > 0;
  }

  close(): void {
    this.#unwatch();
  }

  #read = (): Kept => read(this.#store, this.#name);

  #take(id: string, behind: string): Waiting | undefined {
    const { entries } = this.#read();
    const one = entries.find((entry) => entry.id === id);
    if (one) this.#set(entries.filter((entry) => entry !== one), behind);
    else this.#show(entries);
    return one;
  }

  #set(entries: readonly Waiting[], behind: string): void {
    keep(this.#store, this.#name, { behind, entries });
    this.#show(entries);
  }

  #show(entries: readonly Waiting[]): void {
    if (!entries.length) this.held.value = false;
    if (JSON.stringify(entries) !== JSON.stringify(this.entries.peek())) this.entries.value = entries;
  }
}
