// One run as this page sees it: its state, its text and its outcome. No page elements, no network.
//
//   connecting ── headers ──> waiting ── first token ──> streaming
//        any of these ──> finished | stopped | failed | cut      (exactly one, and then for good)
//
// "cut" is a stream that ended with neither `end` nor `error`: the text may be incomplete, so it is never
// shown as a success.

import { Meter } from "./meter.js";

const OVER = new Set(["finished", "stopped", "failed", "cut"]);

/**
 * @typedef {object} StreamRecord  one line of the inspector
 * @property {string} id
 * @property {string} type   the event's type, "comment", or "?" for data that is no JSON object
 * @property {number} at     milliseconds since the request
 * @property {number} gap    milliseconds since the record before it
 * @property {number} size   bytes
 * @property {string} data
 * @property {string | null} content  the text in it, where it has one
 * @property {Uint8Array} raw
 */

export class Run {
  state = "connecting";
  id = null;
  model = null;
  answer = "";
  thinking = "";
  finishReason = null;
  usage = null;
  failure = null; // what went wrong: {kind: "event" | "problem" | "network" | "cut" | "content", ...}
  receipt = null;
  stopFailure = null;
  stopping = false;
  abandoned = false; // the connection was closed before the run had an id

  /**
   * @param {object} request what was sent, for the curl of it
   * @param {number} now the clock's milliseconds at the request
   */
  constructor(request, now) {
    this.request = request;
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
    return this.abandoned || this.finishReason === "stopped" || this.receipt?.outcome === "stopped" || this.stopFailure !== null;
  }

  /** The response's headers are here. */
  opened(runId) {
    this.id = runId;
    if (this.state === "connecting") this.state = "waiting";
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
    return items.map((item) => this.#item(item, now));
  }

  #item(item, now) {
    if (item.kind === "comment") return this.meter.record("comment", item, now);
    const event = parse(item.data);
    const type = typeof event?.type === "string" ? event.type : "?";
    const record = this.meter.record(type, item, now);
    if (typeof event?.content === "string") record.content = event.content;
    if (!this.over) this.#event(type, event, now);
    return record;
  }

  #event(type, event, now) {
    if (type === "start") {
      this.id ??= event.runId ?? null;
      this.model = event.model ?? null;
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
      this.#close(this.finishReason === "stopped" ? "stopped" : "finished", now);
    } else if (type === "error") {
      this.failure = { ...event, kind: "event" };
      this.#close("failed", now);
    }
  }

  /** The stream is at its end. */
  ended(now) {
    if (this.over) return;
    if (this.stoppedByUser) this.#close("stopped", now);
    else {
      this.failure = { kind: "cut" };
      this.#close("cut", now);
    }
  }

  /** The request or the connection failed. */
  failed(failure, now) {
    if (this.over) return;
    if (this.stoppedByUser) this.#close("stopped", now);
    else {
      this.failure = failure;
      this.#close("failed", now);
    }
  }

  /** The user stopped before there was a run to name: closing the connection is the stop. */
  abandon(now) {
    this.abandoned = true;
    this.#close("stopped", now);
  }

  /** The stop's receipt. The stream's own end may come before or after it. */
  stopped(receipt) {
    this.receipt = receipt;
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
