/** The key that the service wants: asked for in the page, or a token of the application that the page is part of. */

import { signal, type Signal } from "../signal.js";
import type { Store } from "./store.js";

const NAME = "key"; // as the debug page has it

export class Keys {
  /** Whether a person is to give a key: there is none, or the service did not take it. */
  readonly wanted: Signal<boolean> = signal(false);
  #key: string;
  #session: Store;
  #device: Store;
  #token: (() => string | Promise<string>) | undefined;

  /** With a `token` function nobody is asked: it is called for each request, and again after a refusal. */
  constructor(session: Store, device: Store, token?: () => string | Promise<string>) {
    this.#session = session;
    this.#device = device;
    this.#token = token;
    this.#key = session.text(NAME) ?? device.text(NAME) ?? "";
  }

  /** Return what the next request says; "" is nothing. */
  readonly current = (): string | Promise<string> => (this.#token ? this.#token() : this.#key);

  /** Take a key from the person, for this tab, or to be kept on this device. */
  give(key: string, keep = false): void {
    this.#key = key.trim();
    this.#session.setText(NAME, this.#key || undefined);
    this.#device.setText(NAME, (keep && this.#key) || undefined);
    this.wanted.value = false;
  }

  forget(): void {
    this.give("");
  }

  /** The service refused what it was given. */
  refused(): void {
    if (!this.#token) this.wanted.value = true;
  }
}
