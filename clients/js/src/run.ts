/**
 * One run: started or joined, read to its end over as many connections as that takes, and stopped.
 *
 * How it works: `#live` opens one connection after the other, each from the cursor on, until the run's last event
 * is here or the service refuses. Events are taken by their numbers, whichever connection brings them: one that is
 * here already is ignored. So nothing is lost or doubled. The start has the run's id as its Idempotency-Key, and is
 * repeated only until the service has answered once: it never starts a second run.
 */

import { ConnectionError, RequestError, RunError, StreamServeError } from "./errors.js";
import type { Http } from "./http.js";
import type { Line, Rider } from "./line.js";
import { parser } from "./sse.js";
import type { Event, Failure, Receipt, Usage } from "./types.js";
import { backoff, hidden, onAbort, onWake, pause } from "./wake.js";

/** What an answer came to. */
export interface Result {
  runId: string;
  text: string;
  reasoning: string;
  /** stop, length, content_filter, tool_calls, stopped, or unknown; null where the end was read before. */
  finishReason: string | null;
  usage: Usage | null;
  /** The last event, with all that it says; null where it was read before. */
  end: object | null;
}

/** `lost`: the connection broke, and is made again. */
export type State = "connecting" | "streaming" | "lost" | "over";

/** What is called as a run goes on. An iterator gets the same. */
export interface Callbacks<E = Event, R = Receipt | null> {
  onEvent?: (event: E, run: Run<E, R>) => void;
  /** A piece of the answer, and the answer so far. */
  onText?: (piece: string, text: string) => void;
  onState?: (state: State, run: Run<E, R>) => void;
  onEnd?: (result: Result) => void;
  onError?: (error: StreamServeError) => void;
  /** Stops a run that was started here; leaves one that was joined. */
  signal?: AbortSignal;
}

const GAPS = 3;
const FALLS = 5; // off the line, after which a run keeps a connection of its own,
const PARDON = 300_000; // milliseconds that each of them counts
const LOOK = 5000; // milliseconds that a hidden page keeps a connection
const BOARDING = 500; // milliseconds that a run keeps its connection while the line is made
const UNCARRIED = 5000; // milliseconds after which it has one of its own again
const AWAY = 60_000; // milliseconds until it looks again: the service stops a run that nobody reads for long

const typed = (error: unknown): StreamServeError =>
  error instanceof StreamServeError ? error : new ConnectionError("the service cannot be reached", error);

export class Run<E = Event, R = Receipt | null> implements AsyncIterable<E> {
  /** What a thinking model thought. */
  reasoning = "";
  state: State = "connecting";
  /** The events that have come so far. */
  readonly events: E[] = [];
  /** Why the connection broke last. */
  failure: StreamServeError | undefined;
  #http: Http;
  #body: string | undefined; // of the start; undefined once the service knows the run
  #on: Callbacks<E, R>;
  #tail: boolean; // a stream: its ids are offsets, its messages anything
  #path: string;
  #own: boolean; // started here
  #end: (() => Result) | undefined; // what came of it
  #connection = new AbortController(); // of the connection, or the pause before it
  #wanted = Promise.resolve(); // settles when there is to be a connection
  #stopping: Promise<R> | undefined;
  #gaps = 0;
  #falls = 0;
  #heard = 0; // when the service last answered
  #retry = 0; // milliseconds that it wants to be left alone
  #waiting = new Set<() => void>();

  #line: Line | undefined;

  /** Made by a client: `chat` has a body, `follow` a cursor, and `tail` the name of a stream. */
  constructor(
    http: Http,
    line: Line | undefined,
    readonly id: string,
    /** The number of the last event that is here: what a page keeps, with `id` and `text`, to go on after a reload. */
    public cursor: number,
    /** The text of the answer so far. */
    public text: string,
    body: string | undefined,
    on: Callbacks<E, R>,
    tail = false,
  ) {
    this.#tail = tail;
    // A part of dots alone would lead to another route, also when it is encoded once.
    const name = encodeURIComponent(id).replace(/%2F/g, "/").replace(/(^|\/)\.+(?![^/])/g, "$1%252E");
    this.#path = `/ai/${tail ? "streams" : "runs"}/${name}`;
    this.#http = http;
    this.#line = line;
    this.#body = body;
    this.#own = !!body;
    this.#on = on;
    void this.#live().finally(onAbort(on.signal, () => this.#quit()));
  }

  /** Whether the run's end is here, or why there will be none. */
  get over(): boolean {
    return !!this.#end;
  }

  /** Return the whole answer when it is there. Throws as the iterator does. */
  async result(): Promise<Result> {
    while (!this.#end) await this.#more();
    return this.#end();
  }

  /**
   * Yield all events of the run, from the first that came here on. Throws a `RunError` in the place of `error`, a
   * `RequestError` when the service refuses, a `ConnectionError` when it cannot be reached. Leaving the loop stops
   * a run that was started here.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<E, void, undefined> {
    let whole = false;
    const { events } = this;
    try {
      for (let at = 0; ; ) {
        if (at < events.length) {
          const event = events[at++] as E;
          if (this.#tail && at === events.length) at = events.length = 0;
          yield event;
        } else if (this.#end) break;
        else await this.#more();
      }
      whole = true;
    } finally {
      if (!whole) this.#quit();
    }
    await this.result();
  }

  /**
   * Stop the run, and return the receipt; null where the stop came before the start, which the service then refuses.
   * The client's own connection is let go of first: a browser has six, and they may all be taken.
   * Where the network swallows it, it is sent again. Throws a `RequestError` or a `ConnectionError`.
   * Of a stream the producer is asked: the receipt comes when it has heard, or after five seconds. Ask again for more.
   */
  stop(): Promise<R> {
    if (this.#tail) return this.#stop("?wait=5");
    this.#stopping ??= this.#stop("").catch((error) => {
      this.#stopping = undefined;
      throw error;
    });
    return this.#stopping;
  }

  /** Read no more. The run goes on, until the service stops what nobody reads. */
  leave(): void {
    this.#finish(null);
  }

  #quit(): void {
    if (this.#end) return;
    if (this.#own) this.stop().catch(() => {});
    this.#finish(this.#own ? "stopped" : null);
  }

  async #stop(query: string): Promise<R> {
    let open = () => {};
    this.#wanted = new Promise((resolve) => (open = resolve));
    this.#connection.abort();
    const since = Date.now();
    try {
      for (let tries = 0; ; tries++) {
        try {
          if (query) setTimeout(open, BOARDING); // it is on its way: the stream is read on meanwhile
          const signal = AbortSignal.timeout(10_000);
          const response = await this.#http.ask("POST", `${this.#path}/stop${query}`, { signal, keepalive: true });
          const receipt: R = await response.json();
          this.#body = undefined;
          return receipt;
        } catch (error) {
          if (error instanceof RequestError && error.status === 404 && this.#body) {
            this.#finish("stopped");
            return null as R;
          }
          await this.#again(typed(error), tries, since, this.#http.patience);
        }
      }
    } finally {
      open();
    }
  }

  async #live(): Promise<void> {
    let tries = 0;
    this.#heard = Date.now();
    while (!this.#end) {
      for (let wanted; wanted !== this.#wanted; ) await (wanted = this.#wanted);
      if (this.#end) return;
      const { signal } = (this.#connection = new AbortController());
      const before = this.cursor;
      const heard = this.#heard;
      let failure: unknown;
      try {
        if (await this.#read(signal)) this.#finish(null);
      } catch (error) {
        failure = error;
      }
      if (this.#end) return;
      if (this.cursor > before) tries = 0;
      // Patience begins with the break, and not with the last word before a machine slept.
      if (this.#heard !== heard || hidden() || globalThis.navigator?.onLine === false) this.#heard = Date.now();
      if (signal.aborted) continue; // let go on purpose
      const started = !this.#body;
      this.failure = typed(failure);
      if (started) this.#become("lost");
      try {
        const { patience, startPatience } = this.#http;
        await this.#again(this.failure, tries++, this.#heard, started ? patience : startPatience, signal);
      } catch (error) {
        this.#fail(error as StreamServeError);
      }
    }
  }

  /**
   * Read one connection to its end. Where there is company, let go of it, and ride on the line to the end of that.
   * Returns true where nothing more will come.
   */
  async #read(signal: AbortSignal): Promise<boolean> {
    const own = new AbortController(); // of a connection of its own
    const letGo = () => own.abort();
    const line = this.#falls < FALLS ? this.#line : undefined;
    const take = parser((milliseconds) => (this.#retry = milliseconds));
    const body = this.#body;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let aboard = false;
    let end = () => {};
    let fail = (_: unknown) => {};
    const ride = new Promise<void>((resolve, reject) => {
      end = resolve;
      fail = reject;
    });
    ride.catch(() => {});
    const rider: Rider = {
      name: this.#tail ? `streams/${this.id}` : this.id,
      cursor: () => this.cursor,
      // All connections may be taken, by runs that wait for the line: it is let go of before the line is sure.
      board: () => {
        aboard = true;
        clearTimeout(timer);
        timer = setTimeout(() => {
          letGo();
          timer = setTimeout(rider.fall, UNCARRIED);
        }, BOARDING);
      },
      carried: () => {
        clearTimeout(timer);
        letGo();
      },
      take: (behind, number, data) => {
        this.#heard = Date.now();
        try {
          if (!number) throw 0;
          // What comes behind one that is not here comes again, since this one is wanted from its cursor on.
          if (behind <= this.cursor) this.#take(number, data);
        } catch {
          rider.fall();
        }
        if (this.#end) end();
      },
      fall: () => {
        this.#heard = Date.now();
        this.#falls++;
        setTimeout(() => this.#falls--, PARDON);
        letGo();
        fail(new ConnectionError("off the line"));
      },
    };
    // A hidden page lets go, and comes back when it is seen, or for a look.
    const look = () => {
      if (aboard) return;
      clearTimeout(timer);
      if (hidden() && !this.#http.background) timer = setTimeout(() => this.#away(), LOOK);
    };
    const wakes = onWake(look);
    const stay = onAbort(signal, () => {
      letGo();
      end();
    });
    look();
    try {
      return await this.#http.stream(
        body ? "/ai/chat/stream-sse" : `${this.#path}/events`,
        body
          ? { headers: { "Content-Type": "application/json", "Idempotency-Key": this.id }, body }
          : { headers: this.cursor ? { "Last-Event-ID": `${this.cursor}` } : {} },
        own.signal,
        {
          open: () => {
            this.#body = undefined;
            this.#heard = Date.now();
            this.#become("streaming");
            line?.wait(rider);
          },
          text: (text) => {
            this.#heard = Date.now();
            for (const { id, data } of take(text)) this.#take(Number(id), data);
          },
          over: () => this.over,
        },
      );
    } catch (error) {
      if (!own.signal.aborted || signal.aborted) throw error;
      await ride;
      return false;
    } finally {
      line?.leave(rider);
      clearTimeout(timer);
      wakes();
      stay();
    }
  }

  #away(): void {
    this.#connection.abort();
    this.#connection = new AbortController();
    this.#wanted = pause(AWAY, this.#connection.signal);
  }

  /** Wait before one more attempt. Throws where there is none: the service refused, or was away for too long. */
  async #again(error: StreamServeError, tries: number, since: number, patience: number, signal?: AbortSignal): Promise<void> {
    const wait = Math.max(backoff(tries), (error.retryAfter ?? 0) * 1000, this.#retry);
    this.#retry = 0;
    if (!error.retryable || Date.now() + wait - since > patience) throw error;
    await pause(wait, signal);
  }

  /** Take an event; without a number it ends the stream, but not the run. */
  #take(number: number, data: string): void {
    if (this.#end) return;
    let event: Event;
    try {
      event = JSON.parse(data);
    } catch {
      return this.#miss(`event ${number} is no JSON`);
    }
    const { type, content, finishReason, usage } = Object(event);
    if (number) {
      if (number <= this.cursor) return;
      // The last event of a run that another process had to end has a number past all others.
      if (!this.#tail && number > this.cursor + 1 && type !== "end" && type !== "error") {
        return this.#miss(`event ${number} came after ${this.cursor}`);
      }
      this.cursor = number;
    }
    // The messages of a stream are anything: the service's own word of a failure has no number.
    const failed = type === "error" && !(this.#tail && number);
    if (!this.#tail) {
      if (type === "chunk") this.text += content;
      else if (type === "reasoning") this.reasoning += content;
    }
    if (!failed && !(this.#tail && this.#on.onEvent)) this.events.push(event as E);
    this.#call(() => this.#on.onEvent?.(event as E, this));
    if (type === "chunk") this.#call(() => this.#on.onText?.(content, this.text));
    if (failed) this.#fail(new RunError(event as Failure));
    else if (type === "end" && typeof finishReason === "string") this.#finish(finishReason, event, usage);
    else this.#wake();
  }

  /** An event is not as it was sent: another connection may bring it. Throws to make one, but not for ever. */
  #miss(message: string): void {
    const error = new ConnectionError(message);
    if (this.#gaps++ < GAPS) throw error;
    this.#fail(error);
  }

  #finish(finishReason: string | null, end: object | null = null, usage: Usage | null = null): void {
    const { id: runId, text, reasoning } = this;
    const result = { runId, text, reasoning, finishReason, usage, end };
    if (this.#settle(() => result, end)) this.#call(() => this.#on.onEnd?.(result));
  }

  #fail(error: StreamServeError): void {
    const thrown = () => {
      throw error;
    };
    if (this.#settle(thrown, error instanceof RunError)) this.#call(() => this.#on.onError?.(error));
  }

  #settle(end: () => Result, last: unknown): boolean {
    if (this.#end) return false;
    this.#end = end;
    this.#become("over");
    // A stream that has had its last event ends by itself, and its connection can be used again.
    if (!last) this.#connection.abort();
    this.#wake();
    return true;
  }

  #become(state: State): void {
    if (this.state === state) return;
    this.state = state;
    this.#call(() => this.#on.onState?.(state, this));
  }

  /** Call what the caller gave; what it throws is the caller's, and disturbs no run. */
  #call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #more(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
