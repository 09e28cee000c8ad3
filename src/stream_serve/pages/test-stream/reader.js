// Reads a run with the service's own client, and watches what goes over the wire.
//
// How it works: the client starts, follows, reconnects and stops, as it does in any page. This page gives it a
// `fetch` of its own, through which it sees each request, how that was answered, and the bytes of each stream on
// their way to the client. It parses them once more, with their comments and sizes: that is what the inspector shows.
// The client decides what is tried again and what is given up; the page, that a gap or another page is a failure.

/** @import { Callbacks, Question, Run as Read } from "../client.js" */
/** @import { Run, StreamRecord } from "./run.js" */
/** @import { Call } from "./service.js" */
/** @import { Bytes } from "./sse.js" */

import { Client } from "../client.js";
import { failureOf } from "./outcome.js";
import { BASE, errorOf, NotAStream, Problem } from "./service.js";
import { SseParser } from "./sse.js";

// A debugger says soon that a start cannot be made, and goes on for as long as it is open with a run that is there.
// It shows its own connection, also while it is hidden.
const OPTIONS = { baseUrl: BASE, share: false, background: true, startPatience: 2, patience: Infinity };

export class Reader {
  #run;
  #on;
  #client;
  /** @type {Read | null} */
  #read = null;

  /**
   * @param {Run} run
   * @param {() => string} key the caller's key, as it is now
   * @param {{changed: () => void, seen: (bytes: Bytes, records: StreamRecord[]) => void, done: () => void}} on
   *   `done`: nothing more comes
   */
  constructor(run, key, on) {
    this.#run = run;
    this.#on = on;
    this.#client = new Client({ ...OPTIONS, key, fetch: (url, init) => this.#fetch(String(url), init ?? {}) });
  }

  /**
   * Start the run, and follow it to its end.
   * @param {Question} question
   */
  start(question) {
    this.#read = this.#client.chat(question, this.#callbacks);
    this.#run.id = this.#read.id;
  }

  /** Follow a run that is there, from its first event. */
  follow() {
    this.#read = this.#client.follow(this.#run.id, this.#callbacks);
  }

  /** Stop the run. Never rejects. */
  async stop() {
    const run = this.#run;
    try {
      const receipt = await this.#read?.stop();
      if (receipt) run.stopped(receipt);
      else run.abandon(performance.now());
    } catch (caught) {
      run.stopFailed(errorOf(caught), false, performance.now());
    }
    this.#on.changed();
  }

  /** Read no more; a run that is not over by now is so for this page. A stop on its way is still delivered. */
  close() {
    this.#read?.leave();
  }

  /** @type {Callbacks} */
  #callbacks = {
    onState: (state) => {
      if (state !== "lost") return;
      this.#run.lose();
      this.#on.changed();
    },
    onEnd: ({ finishReason }) => {
      if (!this.#run.over && finishReason === "stopped") this.#run.abandon(performance.now());
      else this.#run.ended(performance.now());
      this.#on.done();
    },
    onError: (error) => {
      this.#run.refused(this.#run.trouble ?? failureOf(error), performance.now());
      this.#on.done();
    },
  };

  /**
   * What the client calls in the place of `fetch`.
   * @param {string} url
   * @param {RequestInit} init
   */
  async #fetch(url, init) {
    const stops = url.endsWith("/stop");
    if (!stops && this.#run.request === null) {
      this.#run.request = callOf(url, init);
      this.#on.changed();
    }
    try {
      const response = await fetch(url, init);
      if (!response.ok) this.#failed(await Problem.from(response.clone()), stops);
      else if (!stops && response.status !== 204) return this.#opened(response);
      return response;
    } catch (caught) {
      const error = errorOf(caught);
      if (error.name !== "AbortError") this.#failed(error, stops);
      throw caught;
    }
  }

  /**
   * A request failed; the client knows what to do.
   * @param {Error} error
   * @param {boolean} stops
   */
  #failed(error, stops) {
    if (!stops) this.#run.trouble = failureOf(error);
    else if (!(error instanceof Problem) || error.retryable) {
      this.#run.stopFailed(error, true, performance.now());
      this.close();
    }
    this.#on.changed();
  }

  /**
   * A stream begins, or what was taken for one: let the client have it piece by piece.
   * @param {Response} response
   */
  #opened(response) {
    const type = response.headers.get("Content-Type") ?? "";
    if (response.body === null || !/^text\/event-stream/i.test(type)) {
      this.#run.refused(failureOf(new NotAStream(type)), performance.now());
      this.close();
      return response;
    }
    this.#on.seen(new Uint8Array(0), this.#run.opened(performance.now()));
    this.#on.changed();
    const parser = new SseParser();
    const watched = new TransformStream({
      /** @param {Bytes} bytes */
      transform: (bytes, controller) => {
        controller.enqueue(bytes);
        this.#on.seen(bytes, this.#run.receive(parser.push(bytes), bytes.length, performance.now()));
        if (this.#run.failure?.kind === "gap") this.close();
      },
    });
    return new Response(response.body.pipeThrough(watched), response);
  }
}

/**
 * A request of the client, as curl takes it.
 * @param {string} url
 * @param {RequestInit} init
 * @returns {Call}
 */
function callOf(url, { method, headers, body }) {
  const named = [...new Headers(headers)].map(([name, value]) => [name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase()), value]);
  const call = { path: url.slice(BASE.length), method: method ?? "GET", headers: Object.fromEntries(named) };
  return typeof body === "string" ? { ...call, body } : call;
}
