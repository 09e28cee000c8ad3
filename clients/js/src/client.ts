/** The client of a service: asks, follows and stops runs. */

import { Http, type ClientOptions } from "./http.js";
import { Line } from "./line.js";
import { Run, type Callbacks } from "./run.js";
import type { JobEvent, Question, StreamReceipt } from "./types.js";

export interface FollowOptions extends Callbacks {
  /** The number of the last event that is here already; 0: all of them come. */
  after?: number;
  /** The answer up to there. */
  text?: string;
}

export interface TailOptions<E> extends Omit<Callbacks<E, StreamReceipt>, "onText"> {
  /** The id of the last event that is here already, as a number; 0: all of them come. */
  after?: number;
}

export class Client {
  #http: Http;
  #line: Line | undefined;

  constructor(options: ClientOptions = {}) {
    this.#http = new Http(options);
    const { key, share = true } = options;
    // Tabs share where they ask the same service with the same key; a run that the key does not open falls off the line.
    const name = `stream-serve ${this.#http.base} ${mark(String(key))}`;
    try {
      if (share && globalThis.document) this.#line = new Line(this.#http, name);
    } catch {} // no BroadcastChannel, or none for a page that may keep nothing
  }

  /** Ask the model. The run begins at once, whether it is iterated or not. */
  chat(question: string | Question, on: Callbacks = {}): Run {
    const { runId = newId(), ...fields } = typeof question === "string" ? { message: question } : question;
    // A run that stops when nobody reads it could end in the moment between two connections.
    const line = fields.onDisconnect === "stop" ? undefined : this.#line;
    return new Run(this.#http, line, runId, 0, "", JSON.stringify({ onDisconnect: "continue", ...fields }), on);
  }

  /**
   * Read the messages of a stream, such as a job's: from the event on whose id is `after`, or from the first.
   * They are not kept: neither `events`, for longer than the iterator needs them, nor `text`.
   */
  tail<E = JobEvent>(name: string, { after = 0, ...on }: TailOptions<E> = {}): Run<E, StreamReceipt> {
    return new Run(this.#http, this.#line, name, after, "", undefined, on, true);
  }

  /** Read a run that is there, such as one from before a reload: from a cursor on, or from its beginning. */
  follow(runId: string, { after = 0, text = "", ...on }: FollowOptions = {}): Run {
    return new Run(this.#http, this.#line, runId, after, text, undefined, on);
  }
}

/** Return a number that tells keys apart, and says nothing of them to speak of. */
const mark = (key: string): number => [...key].reduce((hash, letter) => (hash * 31 + letter.charCodeAt(0)) | 0, 7);

/** Return a run's id: 127 bits of chance. `crypto.randomUUID` is missing in pages of plain http. */
const newId = (): string =>
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16)))).slice(0, 22).replace(/\W/g, "_");
