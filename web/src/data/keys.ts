/**
 * The key that the service wants: asked for in the page, or a token of the application that the page is part of.
 *
 * How it works: a tab that is opened from another one, or is its duplicate, has a copy of its key. So forgetting it is said to
 * all tabs, by a mark on the device that changes; the debug page hears it, too.
 */

import { signal, type Signal } from "../signal.js";
import type { Host } from "./host.js";
import { newId } from "./ids.js";
import type { Store } from "./store.js";

const NAME = "key"; // both as the debug page has them
const FORGOTTEN = "key.forgotten";

export class Keys {
  /** Who is to give a key, or another one, since the service did not take what it was given: a person, or the application around. */
  readonly wanted: Signal<false | "person" | "host"> = signal(false);
  /** How often somebody else may have come: who reads now may not see what was read before. */
  readonly owner: Signal<number> = signal(0);
  /** The same, also where nothing was read: what is being read may be for one who has gone. */
  changes = 0;
  /** How many questions were refused for want of it: whoever asks has a reason to give one. */
  readonly missed: Signal<number> = signal(0);
  #key: string;
  #session: Store;
  #device: Store;
  #host: Pick<Host, "token" | "there"> | undefined;
  #forgotten: string | undefined;
  #unwatch: () => void;
  #read = false; // something in the name of who has the key

  constructor(session: Store, device: Store, host?: Pick<Host, "token" | "there">) {
    this.#session = session;
    this.#device = device;
    this.#host = host;
    this.#key = session.text(NAME) ?? device.text(NAME) ?? "";
    this.#forgotten = device.text(FORGOTTEN);
    this.#unwatch = device.watch(() => this.#hear());
  }

  /** Return what the next request says, "" is nothing; after one that was `refused`, another one if there is one. */
  readonly current = async (refused?: string): Promise<string> => (await this.#host?.token(refused)) || this.#key;

  /** Take a key from the person, for this tab, or to be kept on this device. */
  give(key: string, keep = false): void {
    const changed = this.#key !== key.trim();
    this.#key = key.trim();
    this.#session.setText(NAME, this.#key || undefined);
    this.#device.setText(NAME, (keep && this.#key) || undefined);
    this.again(changed);
  }

  /** Forget the key, in all tabs. */
  forget(): void {
    this.give("");
    this.#device.setText(FORGOTTEN, (this.#forgotten = newId()));
  }

  /** What was refused may be tried again; `changed` says whether it may be in another one's name. */
  again(changed = false): void {
    if (changed) this.changes++;
    if (changed && this.#read) {
      this.#read = false;
      this.owner.value++; // before anything is sent again
    }
    this.wanted.value = false;
  }

  /** The service has given what only this owner may read. */
  taken(): void {
    this.#read = true;
  }

  /** The service refused what it was given. */
  refused(): void {
    this.wanted.value = this.#host?.there ? "host" : "person";
  }

  close(): void {
    this.#unwatch();
  }

  #hear(): void {
    const forgotten = this.#device.text(FORGOTTEN);
    if (forgotten === this.#forgotten) return;
    this.#forgotten = forgotten;
    if (forgotten) this.give("");
  }
}
