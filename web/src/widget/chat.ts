/**
 * The chat page in a frame, and what it and this page say to each other.
 *
 * How it works: the frame is hidden until its page says that it listens, since a browser shows a blank box, and tells
 * nobody, where it refuses a page. Where it says nothing for a while, or this page's own policy refused it, there are
 * words instead, until it does. A message counts only from that frame, and a token goes to the service's origin alone.
 */

import { make } from "../text/dom.js";
import type { Options } from "./options.js";

const NAME = "stream-serve:";
/** After the frame has loaded something its page asks the service one thing before it says that it listens. */
const LOADED_PATIENCE = 5000;
const PATIENCE = 30_000;

/** `refused`: the policy of this page does not let it have the frame. */
export type State = "opening" | "open" | "silent" | "refused";

export interface Listener {
  state(state: State): void;
  /** The reader has pressed Esc where nothing of the chat is to be closed. */
  leave(): void;
}

export class Chat {
  readonly element: HTMLIFrameElement;
  #origin: string;
  #listener: Listener;
  #token: (() => string | Promise<string>) | undefined;
  #given = 0;
  #ready = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor({ service, language, theme }: Options, name: string, listener: Listener) {
    this.#origin = service.origin;
    this.#listener = listener;
    this.element = make("iframe", { title: name, allow: "clipboard-write", referrerpolicy: "origin" });
    const address = new URL(service);
    address.search = `embedded&lang=${language}${theme && `&theme=${theme}`}`;
    this.element.src = address.href;
    this.element.addEventListener("load", () => this.#ready || this.#await(LOADED_PATIENCE));
    addEventListener("message", this.#hear);
    document.addEventListener("securitypolicyviolation", this.#refuse);
    this.#await(PATIENCE);
  }

  /** What returns a token of this page's user. Once it listens the chat is told of each change, also that there is none. */
  set token(token: (() => string | Promise<string>) | undefined) {
    if (token === this.#token) return;
    this.#token = token;
    if (this.#ready) void this.#give();
  }

  /** Put the focus into the chat, which knows where. A frame that gets it loses what had it inside. */
  focus(): void {
    const root = this.element.getRootNode() as ShadowRoot;
    if (root.activeElement !== this.element) this.element.focus();
    this.#say({ type: "shown" });
  }

  close(): void {
    clearTimeout(this.#timer);
    removeEventListener("message", this.#hear);
    document.removeEventListener("securitypolicyviolation", this.#refuse);
    this.element.remove();
  }

  #await(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#listener.state("silent"), ms);
  }

  #hear = ({ source, origin, data }: MessageEvent): void => {
    if (!source || source !== this.element.contentWindow || origin !== this.#origin) return;
    if (data?.type === `${NAME}ready`) {
      clearTimeout(this.#timer);
      this.#ready = true;
      this.#listener.state("open");
    } else if (data?.type === `${NAME}token-wanted`) void this.#give();
    else if (data?.type === `${NAME}leave`) this.#listener.leave();
  };

  #refuse = ({ effectiveDirective, disposition, blockedURI }: SecurityPolicyViolationEvent): void => {
    if (this.#ready || disposition !== "enforce" || effectiveDirective !== "frame-src" || !blockedURI.startsWith(this.#origin)) return;
    clearTimeout(this.#timer);
    this.#listener.state("refused");
  };

  #say({ type, ...more }: { type: string; token?: string }): void {
    this.element.contentWindow?.postMessage({ type: NAME + type, ...more }, this.#origin);
  }

  async #give(): Promise<void> {
    const given = ++this.#given;
    let token = ""; // there is none
    try {
      token = (await this.#token?.()) ?? "";
    } catch (error) {
      console.error("StreamServe.token:", error);
    }
    if (given === this.#given) this.#say({ type: "token", token });
  }
}
