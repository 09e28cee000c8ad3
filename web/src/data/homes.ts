/**
 * Where things are kept of conversations that have no id yet: each has a home of its own, in whichever tab it is.
 *
 * How it works: a page says again and again that its homes are lived in, and at its end that they are not. What was left in
 * a home belongs to the next new conversation: after a reload, or of a tab that was closed, or of one that was not heard of
 * for long. If that one is there all the same, what is in its box stays there.
 */

import { NEW, type Drafts } from "./drafts.js";
import { newId } from "./ids.js";
import { onReturn } from "./page.js";
import { joinQueues } from "./queue.js";
import type { Store } from "./store.js";

const NAME = "homes";
const HOME = "home.";
const AGAIN = 30_000;
const LOST = 300_000; // hidden tabs are let run once a minute

export class Homes {
  #store: Store;
  #session: Store;
  #drafts: Drafts;
  #mine = new Set<string>();
  #timer = setInterval(() => this.#say(Date.now()), AGAIN);
  #unreturn = onReturn(() => this.#say(Date.now()));

  /** With the store of the device, and that of the tab. */
  constructor(store: Store, session: Store, drafts: Drafts) {
    this.#store = store;
    this.#session = session;
    this.#drafts = drafts;
    addEventListener("pagehide", this.#leave);
  }

  /** Return another one, with what was left in those that nobody lives in. */
  add(): string {
    const home = `${NEW}.${newId()}`;
    for (const left of this.#left()) {
      this.#drafts.join(left, home);
      joinQueues(this.#store, left, home);
      this.remove(left);
    }
    this.#mine.add(home);
    this.#session.set(NAME, [...this.#all(), home]);
    this.#say(Date.now());
    return home;
  }

  /** Its conversation has got its id. */
  remove(home: string): void {
    this.#mine.delete(home);
    this.#store.set(HOME + home, undefined);
    const others = this.#all().filter((one) => one !== home);
    this.#session.set(NAME, others.length ? others : undefined);
  }

  close(): void {
    this.#leave();
    clearInterval(this.#timer);
    this.#unreturn();
    removeEventListener("pagehide", this.#leave);
  }

  /** Those of this tab before it was loaded anew, and of tabs that are gone. */
  #left(): Set<string> {
    const lost = (home: string) => Date.now() - (this.#store.get<number>(HOME + home) ?? 0) > LOST;
    const all = [...this.#all(), ...this.#store.names(HOME).filter(lost)];
    return new Set(all.filter((home) => !this.#mine.has(home)));
  }

  #all = (): string[] => this.#session.get<string[]>(NAME) ?? [];

  #leave = (): void => this.#say(0);

  /** Say when they were lived in. */
  #say(at: number): void {
    for (const home of this.#mine) this.#store.set(HOME + home, at);
  }
}
