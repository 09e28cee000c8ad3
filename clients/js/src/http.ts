/** Requests to the service: the address, the key, and what a refusal says. */

import { ConnectionError, RequestError } from "./errors.js";
import { hidden, onAbort, onWake } from "./wake.js";

export interface ClientOptions {
  /** Where the service is, such as `https://example.com/prefix`. In a page the default is the page's origin. */
  baseUrl?: string;
  /** The API key, or what returns it: called again, with the key, when the service does not take it any more. */
  key?: string | ((refused?: string) => string | Promise<string>);
  /** More headers for each request. */
  headers?: Record<string, string>;
  /** What is called instead of `fetch`. */
  fetch?: typeof fetch;
  /** For how many seconds a connection that cannot be made is tried again; 300. */
  patience?: number;
  /** The same for a start, which may have less; 30. */
  startPatience?: number;
  /** Whether a hidden page keeps a connection that it does not share. */
  background?: boolean;
  /** Whether the tabs of an origin share one connection; `true` in browsers. */
  share?: boolean;
}

const HEARTBEAT = 15; // seconds, where the service announces nothing that can be believed
const OPENING = 30_000; // milliseconds until the service has to answer
const DOUBT = 3000; // milliseconds that a connection has to show that it is alive

export class Http {
  readonly patience: number;
  readonly startPatience: number;
  readonly background: boolean | undefined;
  readonly base: string;
  #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.base = new URL(options.baseUrl ?? "/", globalThis.location?.href).href.replace(/\/?([?#].*)?$/, "");
    const { patience = 300, startPatience = 30, background } = (this.#options = options);
    this.patience = patience * 1000;
    this.startPatience = Math.min(patience, startPatience) * 1000;
    this.background = background;
    // A wrong address, header or key is a mistake in the program: it is thrown here, and not tried again.
    if (typeof options.key !== "function") this.#headers(options.key);
  }

  #headers(key?: string, more?: Record<string, string>): Headers {
    const headers = new Headers({ ...this.#options.headers, ...more });
    if (key) headers.set("Authorization", `Bearer ${key}`);
    return headers;
  }

  /** Ask, and return a response that is a success. Throws a `RequestError`, or what `fetch` throws. */
  async ask(method: string, path: string, init: RequestInit & { headers?: Record<string, string> }): Promise<Response> {
    const { key, fetch = globalThis.fetch } = this.#options;
    const ask = (refused?: string) => (typeof key === "function" ? key(refused) : key);
    let now = await ask();
    for (let again = true; ; again = false) {
      const headers = this.#headers(now, init.headers);
      const response = await fetch(this.base + path, { cache: "no-store", ...init, method, headers });
      if (response.ok) return response;
      const error = await refusal(response);
      // The same key would be refused again.
      if (response.status !== 401 || !again || now === (now = await ask(now))) throw error;
    }
  }

  /**
   * Read a stream of text; with a body it is asked for by POST. Returns true where there is none, since nothing more comes (204), and false at its end.
   * Throws when it breaks or is silent for too long, and the signal's reason when the signal ends it.
   */
  async stream(
    path: string,
    init: { headers: Record<string, string>; body?: string },
    leave: AbortSignal,
    on: { open: () => void; text: (text: string) => void; over?: () => boolean },
  ): Promise<boolean> {
    const broken = new AbortController();
    const stay = onAbort(leave, () => broken.abort(leave.reason));
    let limit = OPENING;
    let heard = Date.now();
    const doubt = () => {
      if (hidden()) return;
      limit = Math.min(limit, DOUBT);
      heard = Date.now();
    };
    // A clock that is looked at, and no timer to the end: both stand still while a machine sleeps. It may be set back.
    const watch = setInterval(() => {
      if (Math.abs(Date.now() - heard) > limit) broken.abort(new ConnectionError("the connection is silent"));
    }, 250);
    const wakes = onWake(doubt);
    try {
      const response = await this.ask(init.body ? "POST" : "GET", path, { ...init, signal: broken.signal });
      const type = response.headers.get("Content-Type") ?? "";
      if (response.status === 204) return true;
      if (!response.body || !/^text\/event-stream/i.test(type)) {
        throw new ConnectionError(`expected text/event-stream, got "${type}"`);
      }
      const announced = Number(response.headers.get("X-Heartbeat-Interval"));
      const silence = 1500 * (announced >= 0.1 && announced < 3600 ? announced : HEARTBEAT);
      on.open();
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      for (;;) {
        heard = Date.now();
        limit = on.over?.() ? DOUBT : silence;
        const { done, value } = await reader.read();
        if (done) return false;
        on.text(decoder.decode(value, { stream: true }));
      }
    } catch (error) {
      throw broken.signal.aborted ? broken.signal.reason : error;
    } finally {
      clearInterval(watch);
      wakes();
      stay();
      broken.abort();
    }
  }
}

/** Return what a refused response says: an RFC 9457 problem, or whatever was sent instead. */
async function refusal(response: Response): Promise<RequestError> {
  const problem: Record<string, any> = Object(await response.json().catch(() => 0)); // a proxy's page, perhaps
  const after = response.headers.get("Retry-After");
  const seconds = after ? Number(after) || Math.max(0, (Date.parse(after) - Date.now()) / 1000) || 0 : undefined;
  const words = problem.detail || problem.title || `HTTP ${response.status}`;
  return new RequestError(String(words), response.status, String(problem.code ?? ""), seconds, problem.errors ?? []);
}
