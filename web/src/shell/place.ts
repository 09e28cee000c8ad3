/** Where the reader is: in a new conversation, in one that the address names, or at a message of it. */

import { signal, type Signal } from "../signal.js";

export interface Where {
  /** Undefined is a conversation that begins with the next question. */
  readonly conversation: string | undefined;
  /** The message that was looked for. */
  readonly message?: string;
  /** The name of one that has begun and has no id: the way back leads to it. */
  readonly begun?: string;
}

/** What an id is made of: nothing else in an address names something of the service. */
const ID = /^[\w-]{1,128}$/;

const NEW: Where = { conversation: undefined };

/** The address bar, with back and forward. Those of a page around belong to that page: this one has no entries in them. */
export class Place {
  readonly where: Signal<Where>;
  /** Where the service is, with a slash at its end. */
  readonly base: string;
  readonly #embedded: boolean;
  #over: (() => boolean) | undefined;

  constructor(base: string, { embedded = false } = {}) {
    this.base = base;
    this.#embedded = embedded;
    this.where = signal(this.#read());
    addEventListener("popstate", () => {
      if (this.#over?.()) return;
      const [now, before] = [this.#read(), this.where.peek()];
      // A link to a note of an answer leads nowhere else.
      if (now.conversation !== before.conversation || now.message !== before.message || now.begun !== before.begun) this.where.value = now;
    });
  }

  /** Return the address of a conversation, or of the new one. */
  address({ conversation, message }: Where = NEW): string {
    if (conversation === undefined) return this.base;
    const url = new URL(`c/${encodeURIComponent(conversation)}`, this.base);
    if (message) url.hash = message;
    return url.href;
  }

  /** Go there; the way back leads here. Who is there already comes anew, such as to another conversation without an id. */
  go(where: Where = NEW): void {
    const { begun } = where;
    const same = this.address(where) === location.href && begun === this.where.peek().begun;
    const state = begun ? { begun } : null;
    // What lies over the page has an entry of its own, which becomes that of the new place.
    if (same || this.#embedded || history.state?.over) history.replaceState(state, "", this.address(where));
    else history.pushState(state, "", this.address(where));
    this.#over = undefined;
    this.where.value = { ...where };
  }

  /** The new conversation has begun: until it has an id, this name stands for it. */
  begin(name: string): void {
    history.replaceState({ ...history.state, begun: name }, "");
    this.where.value = { conversation: undefined, begun: name };
  }

  /** The new conversation has got its id: it is where it was. */
  become(conversation: string): void {
    history.replaceState(history.state, "", this.address({ conversation }));
    this.where.value = { conversation };
  }

  /** Something lies over the page: the way back closes it, and leads no further. */
  cover(close: () => void): void {
    if (this.#embedded) return;
    history.pushState({ over: true }, "");
    this.#over = () => {
      this.#over = undefined;
      close();
      return true;
    };
  }

  /** It was closed in another way. */
  uncover(): void {
    if (!this.#over) return;
    this.#over = () => {
      this.#over = undefined;
      return true;
    };
    if (history.state?.over) history.back();
  }

  #read(): Where {
    const below = location.href.startsWith(this.base) ? location.href.slice(this.base.length) : "";
    const [, conversation, message = ""] = /^c\/([^/?#]+)\/?(?:\?[^#]*)?(?:#(.*))?$/.exec(below) ?? [];
    if (conversation === undefined) return history.state?.begun ? { ...NEW, begun: history.state.begun } : NEW;
    if (!ID.test(conversation)) return NEW; // no address of ours
    return ID.test(message) ? { conversation, message } : { conversation };
  }
}
