/** Requests to the service that are no streams. What goes wrong is a `Trouble`, whose problem says what can be done. */

import { problemOf, type Problem } from "../turn/index.js";
import type { Keys } from "./keys.js";

export class Trouble extends Error {
  override readonly name = "Trouble";

  constructor(readonly problem: Problem) {
    super(problem.message);
  }
}

/** Return the problem of whatever was thrown by a request; what is a defect of the page is thrown on. */
export function troubleOf(error: unknown): Problem {
  if (error instanceof Trouble) return error.problem;
  throw error;
}

export interface ApiOptions {
  /** Where the service is, with a slash at its end. */
  base: string;
  keys: Keys;
  fetch?: typeof fetch;
}

export interface AskOptions {
  signal?: AbortSignal;
  /** Whether the request outlives the page. */
  keepalive?: boolean;
  /** Whether it is asked without a key. */
  bare?: boolean;
  query?: Record<string, string | number | null | undefined>;
}

const PATIENCE = 20_000;

export class Api {
  #options: ApiOptions;

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  /** Ask, and return the JSON of the response. Throws a `Trouble`, or the signal's reason. */
  async json<T>(method: string, path: string, body?: unknown, options: AskOptions = {}): Promise<T> {
    const response = await this.ask(method, path, body, options);
    if (response.status === 204) return undefined as T;
    try {
      return await response.json();
    } catch {
      options.signal?.throwIfAborted();
      throw this.#trouble({ message: "the response is no JSON" });
    }
  }

  async ask(method: string, path: string, body?: unknown, options: AskOptions = {}): Promise<Response> {
    const { keys, fetch = globalThis.fetch } = this.#options;
    let changes = keys.changes;
    let key = options.bare ? "" : await keys.current();
    for (let again = !options.bare; ; again = false) {
      let response: Response;
      try {
        response = await fetch(this.address(path, options.query), init(method, key, body, options));
      } catch (error) {
        options.signal?.throwIfAborted();
        throw this.#trouble({ message: String(error) });
      }
      // What somebody else was answered is not for whoever reads now.
      if (method === "GET" && !options.bare && changes !== (changes = keys.changes)) {
        key = await keys.current();
        continue;
      }
      if (response.ok) {
        if (path.startsWith("ai/conversations")) keys.taken();
        return response;
      }
      // A token of another application may have grown old: it is asked for once more.
      if (response.status === 401 && again && key !== (key = await keys.current(key))) continue;
      throw this.#trouble(await refusal(response));
    }
  }

  /** Return where a path of the service is. An id in it stays one part of it, whatever it is. */
  address(path: string, query: AskOptions["query"] = {}): string {
    const url = new URL(path.split("/").map(part).join("/"), this.#options.base);
    for (const [name, value] of Object.entries(query)) if (value != null && value !== "") url.searchParams.set(name, `${value}`);
    return url.href;
  }

  #trouble(fault: Parameters<typeof problemOf>[0]): Trouble {
    const problem = problemOf(fault, Date.now());
    if (problem.kind === "key") this.#options.keys.refused();
    return new Trouble(problem);
  }
}

/** Encode a part of a path. One of dots alone would lead elsewhere, also when it is encoded once. */
const part = (text: string): string => (/^\.+$/.test(text) ? text.replaceAll(".", "%252E") : encodeURIComponent(text));

function init(method: string, key: string, body: unknown, { signal, keepalive = false }: AskOptions): RequestInit {
  const headers: Record<string, string> = key ? { Authorization: `Bearer ${key}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const limit = AbortSignal.timeout(PATIENCE);
  return {
    method,
    headers,
    keepalive,
    cache: "no-store",
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  };
}

/** Return what a refusal says: an RFC 9457 problem, or whatever a proxy sent instead. */
async function refusal(response: Response) {
  const said = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const { status } = response;
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return {
    status,
    code: String(said?.["code"] ?? ""),
    message: String(said?.["detail"] ?? said?.["title"] ?? `HTTP ${status}`),
    retryable: status === 429 || status === 503 || status > 500,
    retryAfter: Number.isFinite(seconds) ? seconds : undefined,
  };
}
