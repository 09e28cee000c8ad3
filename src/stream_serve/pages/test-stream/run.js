// One run as this page sees it: its state, its text and its outcome. No page elements, no network.
//
//   connecting ── headers ──> waiting ── first token ──> streaming
//        any of these ── connection lost ──> lost ── headers ──> waiting or streaming, as before
//        any of these ──> finished | stopped | failed | cut      (exactly one, and then for good)
//
// Events are taken by their numbers, 1, 2, 3, …, whichever connection brings them: one that is here already
// is ignored, and one that leaves a gap ends the run as failed, since text with a hole is worse than none.
// "cut" is a stream that ended with neither `end` nor `error` and cannot be taken up again: the text may be
// incomplete, so it is never shown as a success.

import { Meter } from "./meter.js";

const OVER = new Set(["finished", "stopped", "failed", "cut"]);

/**
 * @typedef {object} StreamRecord  one line of the inspector
 * @property {string} id
 * @property {string} type   the event's type, "comment", "resumed" for a new connection to the same run, or
 *   "?" for data that is no JSON object
 * @property {number} at     milliseconds since the request
 * @property {number} gap    milliseconds since the record before it
 * @property {number} size   bytes
 * @property {string} data
 * @property {string | null} content  the text in it, where it has one
 * @property {Uint8Array} raw
 */

export class Run {
  state = "connecting";
  model = null;
  conversationId = null;
  saved = null; // whether the answer was stored; null where nothing was to be
  answer = "";
  thinking = "";
  finishReason = null;
  usage = null;
  failure = null; // what went wrong: {kind: "event" | "problem" | "network" | "cut" | "gap" | "content", ...}
  receipt = null;
  stopFailure = null;
  stopping = false;
  delivering = false; // the stop has not reached the service yet, and is sent again
  abandoned = false; // stopped before the service knew the run
  #left = false; // the user stopped, and the service could not be told

  /**
   * @param {string} id
   * @param {object} request what is sent, for the curl of it
   * @param {boolean} resumed it was started before, or elsewhere: this page reads it from its first event
   * @param {number} now the clock's milliseconds at the request
   */
  constructor(id, request, resumed, now) {
    this.id = id;
    this.request = request;
    this.resumed = resumed;
    this.known = resumed; // the service has answered for it
    this.meter = new Meter(now);
  }

  get over() {
    return OVER.has(this.state);
  }

  /** The cursor to go on from: the id of the last event. */
  get cursor() {
    return this.meter.lastId;
  }

  get stoppedByUser() {
    return this.abandoned || this.#left || this.finishReason === "stopped" || this.receipt?.outcome === "stopped";
  }

  /**
   * A response's headers are here.
   * @returns {StreamRecord[]} a mark for the inspector, where an earlier connection had brought events
   */
  opened(runId, now) {
    this.id = runId ?? this.id;
    this.known = true;
    if (this.over) return [];
    const again = this.state === "lost" && this.cursor !== "";
    this.state = this.meter.firstToken === null ? "waiting" : "streaming";
    return again ? [this.meter.resumed(now)] : [];
  }

  /** The connection broke, and will be opened again. */
  lose() {
    if (!this.over) this.state = "lost";
  }

  /**
   * Take what one read brought.
   * @param {import("./sse.js").SseItem[]} items
   * @param {number} bytes how many bytes the read brought
   * @param {number} now
   * @returns {StreamRecord[]}
   */
  receive(items, bytes, now) {
    this.meter.read(bytes, now);
    return items.map((item) => this.#item(item, now)).filter((record) => record !== null);
  }

  #item(item, now) {
    if (item.kind === "comment") return this.meter.record("comment", item, now);
    if (this.meter.has(item.id)) return null;
    const event = parse(item.data);
    const type = typeof event?.type === "string" ? event.type : "?";
    const record = this.meter.record(type, item, now);
    if (typeof event?.content === "string") record.content = event.content;
    if (record.skipped) this.refused({ kind: "gap", expected: record.expected, got: item.id }, now);
    if (!this.over) this.#event(type, event, now);
    return record;
  }

  #event(type, event, now) {
    if (type === "start") {
      this.model = event.model ?? null;
      this.conversationId = event.conversationId ?? null;
    } else if (type === "chunk" || type === "reasoning") {
      const text = typeof event.content === "string" ? event.content : "";
      if (type === "chunk") this.answer += text;
      else this.thinking += text;
      if (text === "") return;
      this.state = "streaming";
      this.meter.content(text, now);
    } else if (type === "end") {
      this.finishReason = event.finishReason ?? null;
      this.usage = event.usage ?? null;
      this.saved = event.saved ?? null;
      this.#close(this.finishReason === "stopped" ? "stopped" : "finished", now);
    } else if (type === "error") {
      this.failure = { ...event, kind: "event" };
      this.saved = event.saved ?? null;
      this.#close("failed", now);
    }
  }

  /** Nothing more will be read. */
  ended(now) {
    if (this.over) return;
    if (this.stoppedByUser) this.#close("stopped", now);
    else {
      this.failure = { kind: "cut" };
      this.#close("cut", now);
    }
  }

  /** The request or the connection failed for good. Where events had come, that is a cut. */
  refused(failure, now) {
    if (this.over) return;
    if (failure.problem?.code === "stopped_before_start") this.abandon(now);
    else if (this.stoppedByUser) this.#close("stopped", now);
    else if (this.meter.events === 0 || failure.kind === "gap") {
      this.failure = failure;
      this.#close("failed", now);
    } else {
      this.failure = { kind: "cut", cause: failure };
      this.#close("cut", now);
    }
  }

  /** The user stopped before the service knew the run: it will not start it any more. */
  abandon(now) {
    this.abandoned = true;
    this.delivering = false;
    if (!this.over) this.#close("stopped", now);
  }

  /** The service refused to stop the run, or (`again`: it is tried again) could not be reached. */
  stopFailed(error, again, now) {
    this.stopFailure = error;
    this.stopping = false;
    this.delivering = again;
    if (!again || this.over) return;
    this.#left = true;
    this.#close("stopped", now);
  }

  /** The stop's receipt. The stream's own end may come before or after it. */
  stopped(receipt) {
    this.receipt = receipt;
    this.stopFailure = null;
    this.delivering = false;
    this.finishReason ??= receipt.finishReason ?? null;
    this.usage ??= receipt.usage ?? null;
  }

  #close(state, now) {
    this.state = state;
    this.stopping = false;
    this.meter.close(now, this.usage);
  }
}

function parse(data) {
  try {
    const value = JSON.parse(data);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
