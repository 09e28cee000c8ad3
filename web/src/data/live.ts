/**
 * A turn that is on its way: its run is started or followed, and what comes of it moves the turn.
 *
 * How it works: the client keeps the connection, with its cursor, over whatever happens to it. What it says becomes
 * the turn's events. A run that the service does not know any more is no error: the storage is asked how it ended.
 */

import { RequestError, type Callbacks, type Client, type Question, type Result, type Run, type State, type StreamServeError } from "../../../clients/js/src/index.js";
import type { Signal } from "../signal.js";
import { over, problemOf, step, type Problem, type Stored, type Turn, type TurnEvent } from "../turn/index.js";
import { onReturn } from "./page.js";
import type { Store } from "./store.js";

const CAUGHT_UP = 400; // milliseconds after which what was missed is here: it comes in one piece
const SLOW = 3000; // without a word, after which the browser may have no connection left
const UNCONFIRMED = 3000; // of a stop without an answer
const END = 2000; // that the last event has to come after the receipt
const AGAIN = 3000; // between two looks at an answer that is still said to be generated
const LOOKS = 12;

export interface Hooks {
  /** The run has begun: the turn has its ids. */
  started(turn: Turn): void;
  /** Return what is stored of the answer, if anything is. */
  stored(turn: Turn): Promise<Stored | undefined>;
  /** The service refuses the question. Return another way to ask it, or undefined: then it has failed. */
  refused(problem: Problem): { runId: string; asked: Question } | undefined;
  /** The turn is over. */
  ended(turn: Turn): void;
}

export class LiveTurn {
  readonly turn: Signal<Turn>;
  #client: Client;
  #asked: Question | undefined;
  #hooks: Hooks;
  #run!: Run;
  #reading = 0; // the number of the reader whose words count
  #left = false;
  #began = false;
  #timers = new Map<string, ReturnType<typeof setTimeout>>();
  #waits: (() => void) | undefined; // for the page to be seen again

  /** Without `asked` a run that is there is followed, from the turn's cursor on. */
  constructor(client: Client, turn: Signal<Turn>, asked: Question | undefined, hooks: Hooks) {
    this.turn = turn;
    this.#client = client;
    this.#asked = asked;
    this.#hooks = hooks;
    this.#began = !asked;
    this.#read();
  }

  /** Stop it. Returns when the stop is confirmed, or nothing is known of it for now. */
  async stop(): Promise<void> {
    this.#take({ type: "stop" });
    this.#later("unconfirmed", UNCONFIRMED, () => this.#take({ type: "unconfirmed" }));
    const run = this.#run;
    try {
      const receipt = await run.stop();
      if (!receipt) return this.#take({ type: "stopped-before-start" });
      if (receipt.outcome === "unreachable") return this.#take({ type: "unconfirmed" });
      // Until the mark, what came before the stop is part of the answer.
      await Promise.race([run.result().catch(() => {}), pause(END)]);
      if (receipt.outcome === "stopped" || over(this.turn.peek().state)) this.#take({ type: "receipt", receipt });
      else await this.#reread();
    } catch (error) {
      if (error instanceof RequestError && error.status === 404) await this.#reread();
      else this.#take({ type: "unconfirmed" });
    } finally {
      this.#clear("unconfirmed");
    }
  }

  /** Try at once what waits for another attempt. */
  tryNow(): void {
    if (over(this.turn.peek().state)) return;
    this.#reading++;
    this.#run.leave();
    this.#read();
  }

  /** Keep, for a reload, up to where it has come. */
  keep(session: Store): void {
    const { runId, cursor, text, reasoning, thinkingAt, answerAt, sentAt } = this.turn.peek();
    if (cursor) session.set(`run.${runId}`, { cursor, text, reasoning, thinkingAt, answerAt, sentAt });
  }

  /** Read no more; the run goes on. */
  leave(): void {
    this.#left = true;
    this.#quit();
    this.#run.leave();
  }

  #read(): void {
    const reader = ++this.#reading;
    const counts = () => reader === this.#reading && !this.#left;
    const { runId, cursor, text } = this.turn.peek();
    let last = cursor;
    const on: Callbacks = {
      onEvent: (event, run) => {
        if (!counts()) return;
        // What ends a stream, but not the run, has no number.
        const number = run.cursor > last ? (last = run.cursor) : 0;
        this.#take({ type: "event", event, number });
      },
      onState: (state) => void (counts() && this.#connection(state)),
      onEnd: (result) => void (counts() && this.#over(result)),
      onError: (error) => void (counts() && this.#fail(error)),
    };
    if (this.#began || !this.#asked) this.#run = this.#client.follow(runId, { after: cursor, text, ...on });
    else {
      this.#later("slow", SLOW, () => this.#take({ type: "slow" }));
      this.#run = this.#client.chat({ ...this.#asked, runId }, on);
    }
  }

  #take(what: TurnEvent): void {
    if (this.#left) return;
    const before = this.turn.peek();
    const turn = (this.turn.value = step(before, what, Date.now()));
    if (turn === before) return;
    if (!this.#began && turn.phase !== "sending") {
      this.#began = true;
      this.#clear("slow");
      this.#hooks.started(turn);
    }
    if (!over(turn.state) || over(before.state)) return;
    this.#quit();
    this.#hooks.ended(this.turn.peek());
  }

  #connection(state: State): void {
    this.#waits?.();
    if (state === "streaming") {
      this.#take({ type: "connected" });
      this.#later("caught-up", CAUGHT_UP, () => this.#take({ type: "caught-up" }));
    } else if (state === "lost") {
      this.#clear("caught-up");
      this.#seen(() => this.#take({ type: "lost" }));
    }
  }

  /** Nobody is told of what a hidden page loses: it may be back before it is seen. */
  #seen(call: () => void): void {
    if (document.visibilityState !== "hidden") return call();
    const unwait = onReturn(() => {
      this.#waits?.();
      if (this.#run.state === "lost") call();
    });
    this.#waits = () => {
      unwait();
      this.#waits = undefined;
    };
  }

  #over({ end, finishReason }: Result): void {
    if (over(this.turn.peek().state) || end) return;
    if (!this.#began && finishReason === "stopped") this.#take({ type: "stopped-before-start" });
    else void this.#reread();
  }

  #fail(error: StreamServeError): void {
    if (over(this.turn.peek().state)) return;
    const { code, message, retryable, retryAfter } = error;
    const status = error instanceof RequestError ? { status: error.status } : {};
    const problem = problemOf({ code, message, retryable, retryAfter, ...status }, Date.now());
    if (error instanceof RequestError) {
      if (this.#began && problem.kind !== "key") return void this.#reread();
      if (error.code === "stopped_before_start") return this.#take({ type: "stopped-before-start" });
      if (error.code === "run_conflict" && this.#asked) return this.#join();
      const other = this.#hooks.refused(problem);
      if (other) return this.#again(other.runId, other.asked);
      return this.#take({ type: this.#began ? "gave-up" : "refused", problem });
    }
    this.#take({ type: "gave-up", problem });
  }

  /** The question is there already, asked otherwise: by another tab, or unheard of. */
  #join(): void {
    this.#asked = undefined;
    this.#read();
  }

  #again(runId: string, asked: Question): void {
    if (this.turn.peek().state === "stopping") return this.#take({ type: "stopped-before-start" });
    this.#asked = asked;
    this.turn.value = { ...this.turn.peek(), runId };
    this.#read();
  }

  /** Ask the storage how the answer ended. Its process may be gone: then that is known only after a while. */
  async #reread(): Promise<void> {
    for (let look = 0; look < LOOKS; look++) {
      const stored = await this.#hooks.stored(this.turn.peek()).catch(() => undefined);
      if (this.#left || over(this.turn.peek().state)) return;
      if (!stored) break;
      if (stored.status !== "generating") return this.#take({ type: "stored", stored });
      await pause(AGAIN);
    }
    this.#take({ type: "gone" });
  }

  #later(name: string, ms: number, call: () => void): void {
    this.#clear(name);
    this.#timers.set(name, setTimeout(call, ms));
  }

  #clear(name: string): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #quit(): void {
    for (const name of this.#timers.keys()) this.#clear(name);
    this.#waits?.();
  }
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
