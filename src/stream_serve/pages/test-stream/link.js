// A run's connection: opened, read to the run's end, and opened again where it broke.
//
// How it works: `start` asks for a new run, `resume` for the events of one that is there. From then on a
// connection that ends before the run does is a loss, and after a pause the events after the run's cursor
// are asked for, until the run is over, the service refuses, or `close` ends it. Which events are new is
// the run's to say, by their numbers. A start that got no answer is repeated once: it names the run's id,
// so the service starts no second one.

/** @import { Call } from "./client.js" */
/** @import { Run, StreamRecord } from "./run.js" */
/** @import { Patience } from "./silence.js" */
/** @import { Bytes } from "./sse.js" */

import * as client from "./client.js";
import { follow } from "./follow.js";
import { failureOf } from "./outcome.js";
import { Pauses } from "./pauses.js";
import { Silence, Silent } from "./silence.js";

/**
 * Opens a connection to the run.
 * @typedef {(signal: AbortSignal) => ReturnType<typeof client.open>} Opener
 */

const END_PATIENCE = 2000; // milliseconds that a stopped or finished stream has to close by itself
const STOP_TRIES = 20; // deliveries of a stop that the network swallows, some minutes' worth
const START_SILENCE = { opening: Infinity, open: 60_000, doubt: 3000 }; // the user can stop a slow start
const RESUME_SILENCE = { ...START_SILENCE, opening: 10_000 };

export class Link {
  #run;
  #key;
  #on;
  #end = new AbortController();
  #pauses = new Pauses();
  #closing = 0;

  /**
   * @param {Run} run
   * @param {() => string} key the caller's key, as it is now
   * @param {{changed: () => void, seen: (bytes: Bytes, records: StreamRecord[]) => void}} on
   */
  constructor(run, key, on) {
    this.#run = run;
    this.#key = key;
    this.#on = on;
  }

  /**
   * Start the run and follow it. Settles when there is nothing more to come; never rejects.
   * @param {Call} request
   */
  start(request) {
    return this.#live((signal) => client.open(request, signal), START_SILENCE, 1);
  }

  /** Follow the run from its cursor on. Settles as `start` does. */
  resume() {
    return this.#live(this.#reopen, RESUME_SILENCE);
  }

  /** Stop the run, by its id; where the network swallows the stop, go on delivering it. Never rejects. */
  async stop() {
    const run = this.#run;
    const pauses = new Pauses();
    for (let left = STOP_TRIES; left > 0; left--) {
      try {
        const receipt = await client.stop(run.id, this.#key());
        run.stopped(receipt);
        this.#pauses.wake(); // the network is there: the rest of the answer can be fetched
        if (receipt.outcome === "stopped") setTimeout(() => this.close(), END_PATIENCE);
        break;
      } catch (caught) {
        const error = client.errorOf(caught);
        if (error instanceof client.Problem && error.status === 404 && !run.known) run.abandon(performance.now());
        else run.stopFailed(error, left > 1 && passing(error), performance.now());
      }
      if (run.over) this.close();
      if (!run.delivering) break;
      this.#on.changed();
      await pauses.wait();
    }
    this.#on.changed();
  }

  /** Leave the connection; a run that is not over by now is so for this page. */
  close() {
    this.#run.ended(performance.now());
    this.#end.abort();
  }

  /** @type {Opener} */
  #reopen = (signal) => client.open(client.eventsRequest(this.#run.id, this.#run.cursor, this.#key()), signal);

  /**
   * @param {Opener} open
   * @param {Patience} patience
   */
  async #live(open, patience, repeats = 0) {
    while (!this.#run.over) {
      try {
        await this.#read(open, patience);
      } catch (caught) {
        if (this.#run.over) break;
        const error = client.errorOf(caught);
        const again = this.#run.known ? passing(error) : unanswered(error) && repeats-- > 0;
        if (!again) this.#run.refused(failureOf(error), performance.now());
      }
      if (this.#run.over) break;
      if (this.#run.known) {
        this.#run.lose();
        this.#on.changed();
        open = this.#reopen;
        patience = RESUME_SILENCE;
      }
      await this.#pauses.wait(this.#end.signal);
    }
    clearTimeout(this.#closing);
    this.#on.changed();
  }

  /**
   * @param {Opener} open
   * @param {Patience} patience
   */
  async #read(open, patience) {
    const broken = new AbortController();
    const silence = new Silence(patience, () => broken.abort(new Silent()));
    try {
      const { runId, stream } = await open(AbortSignal.any([this.#end.signal, broken.signal]));
      silence.heard();
      this.#on.seen(new Uint8Array(0), this.#run.opened(runId, performance.now()));
      this.#on.changed();
      await follow(stream, this.#run, (bytes, records) => {
        silence.heard();
        this.#pauses.reset();
        this.#on.seen(bytes, records);
        if (this.#run.over) this.#closing ||= setTimeout(() => this.#end.abort(), END_PATIENCE);
      });
    } finally {
      silence.end();
    }
  }
}

/**
 * Whether the same request may go well later.
 * @param {Error} error
 */
function passing(error) {
  if (error instanceof client.Problem) return error.status >= 500 || [408, 425, 429].includes(error.status);
  return unanswered(error);
}

/**
 * Whether it is the network that failed, and not the service that answered.
 * @param {Error} error
 */
function unanswered(error) {
  return error instanceof TypeError || error instanceof Silent || error.name === "TimeoutError";
}
