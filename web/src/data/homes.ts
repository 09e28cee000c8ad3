/**
 * Where things are kept of conversations that have no id yet: each has a home of its own, in whichever tab it is.
 *
 * How it works: a page says again and again that its homes are lived in, and at its end that they are not. What was left in
 * a home belongs to the next new conversation: after a reload, or of a tab that was closed, or of one that was not heard of
 * for long. If that one is there all the same, what is in its box stays there.
 *
 * A tab that is duplicated has a copy of the other one's storage, with its homes; a page that was killed could not say its
 * end. So a page that finds homes of its tab lived in asks who does, and takes them where nobody answers. A page has one from
 * its beginning, in which nothing is kept: it answers also where all its conversations have ids.
 */

import { NEW, type Drafts } from "./drafts.js";
import { newId } from "./ids.js";
import { onReturn } from "./page.js";
import { moveChosen } from "./preferences.js";
import { joinQueues } from "./queue.js";
import type { Store } from "./store.js";

const NAME = "homes";
const PAGE = "page";
const HOME = "home.";
const ASKED = "homes.asked";
const AGAIN = 30_000;
const LOST = 300_000; // hidden tabs are let run once a minute
const SILENCE = 500; // after which nobody answers

export class Homes {
  #store: Store;
  #session: Store;
  #drafts: Drafts;
  #mine = new Set<string>();
  #doubtful: ReadonlyMap<string, number | undefined>; // homes of this tab, or of the one that it was made of; when they were lived in
  #asked: string | undefined;
  #answered: Promise<void>;
  #timer = setInterval(() => this.#say(Date.now()), AGAIN);
  #undo: (() => void)[];

  /** With the store of the device, and that of the tab. */
  constructor(store: Store, session: Store, drafts: Drafts) {
    this.#store = store;
    this.#session = session;
    this.#drafts = drafts;
    const page = session.get<string>(PAGE);
    const before = [...(page ? [page] : []), ...this.#all()].filter((home) => !this.#lost(home));
    this.#doubtful = new Map(before.map((home) => [home, this.#at(home)]));
    this.#undo = [onReturn(() => this.#say(Date.now())), store.watch(() => this.#answer())];
    addEventListener("pagehide", this.#leave);
    this.#answered = this.#doubtful.size ? this.#ask() : Promise.resolve();
    this.#enter(page && !this.#doubtful.has(page) ? page : `${PAGE}.${newId()}`);
    this.#session.set(PAGE, [...this.#mine][0]);
  }

  /** Return another one, with what was left in those that nobody lives in. */
  add(): string {
    const home = `${NEW}.${newId()}`;
    this.#enter(home);
    this.#keep([...this.#all(), home]);
    this.#take(home);
    return home;
  }

  /** Wait until it is known whose the homes of this tab are; return whether something was left in them that is now in this one. */
  async settled(home: string): Promise<boolean> {
    await this.#answered;
    return this.#mine.has(home) && this.#take(home);
  }

  /** Its conversation has got its id. */
  remove(home: string): void {
    this.#mine.delete(home);
    this.#store.set(HOME + home, undefined);
    this.#keep(this.#all().filter((one) => one !== home));
  }

  close(): void {
    this.#leave();
    clearInterval(this.#timer);
    for (const undo of this.#undo) undo();
    removeEventListener("pagehide", this.#leave);
  }

  #enter(home: string): void {
    this.#mine.add(home);
    this.#say(Date.now());
  }

  /** Put what was left into a home; return whether that is anything. */
  #take(home: string): boolean {
    let taken = false;
    for (const left of this.#left()) {
      const joined = [this.#drafts.join(left, home), joinQueues(this.#store, left, home), moveChosen(this.#session, left, home)];
      taken ||= joined.includes(true);
      this.remove(left);
    }
    return taken;
  }

  /** Those of this tab before it was loaded anew, and of tabs that are gone. */
  #left(): Set<string> {
    const all = [...this.#all(), ...this.#store.names(HOME).filter((home) => this.#lost(home))];
    return new Set(all.filter((home) => !this.#mine.has(home) && !this.#doubtful.has(home)));
  }

  /** Ask who lives in the homes of this tab. Those of another tab are not this one's, nor are the questions that it sent. */
  async #ask(): Promise<void> {
    const sent = this.#drafts.mine();
    this.#asked = newId();
    this.#store.set(ASKED, this.#asked);
    const lived = () => [...this.#doubtful].filter(([home, at]) => this.#at(home) !== at).map(([home]) => home);
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        unwatch();
        resolve();
      };
      const timer = setTimeout(end, SILENCE);
      const unwatch = this.#store.watch(() => lived().length && end());
    });
    const others = lived();
    this.#keep(this.#all().filter((home) => !others.includes(home)));
    if (others.length) this.#drafts.disown(sent);
    this.#doubtful = new Map();
  }

  #answer(): void {
    const asked = this.#store.get<string>(ASKED);
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#say(Date.now());
  }

  #keep(homes: readonly string[]): void {
    this.#session.set(NAME, homes.length ? homes : undefined);
  }

  #at = (home: string): number | undefined => this.#store.get<number>(HOME + home);

  /** A clock may be set back. */
  #lost = (home: string): boolean => Math.abs(Date.now() - (this.#at(home) ?? 0)) > LOST;

  #all = (): string[] => this.#session.get<string[]>(NAME) ?? [];

  #leave = (): void => this.#say(0);

  /** Say when they were lived in. */
  #say(at: number): void {
    for (const home of this.#mine) this.#store.set(HOME + home, at);
  }
}
