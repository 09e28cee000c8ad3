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

/** @import { Event, Failure as ErrorEvent, Receipt, Usage } from "../client.js" */
/** @import { Call, Problem } from "./service.js" */
/** @import { Bytes, SseItem } from "./sse.js" */

import { Meter } from "./meter.js";

/** @type {ReadonlySet<State>} */
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
 * @property {Bytes} raw
 * @property {boolean} skipped  its number does not follow the one before
 * @property {number | null} expected  the number that would; null for what has none
 */

/** @typedef {"finished" | "stopped" | "failed" | "cut"} Outcome */
/** @typedef {"connecting" | "waiting" | "streaming" | "lost" | Outcome} State */

/**
 * What went wrong: the stream said so, the service refused, it cannot be reached, the response is no stream,
 * an event is missing, or the stream ended too early (`cause`: why it could not be taken up again).
 * @typedef {ErrorEvent & {kind: "event"}} EventFailure
 * @typedef {{kind: "problem", problem: Problem}} ProblemFailure
 * @typedef {{kind: "network", message: string}} NetworkFailure
 * @typedef {{kind: "content", contentType: string}} ContentFailure
 * @typedef {{kind: "gap", expected: number | null, got: string}} GapFailure
 * @typedef {{kind: "cut", cause: Failure | null}} CutFailure
 * @typedef {EventFailure | ProblemFailure | NetworkFailure | ContentFailure | GapFailure | CutFailure} Failure
 */

export class Run {
  /** @type {State} */
  state = "connecting";
  /** @type {string | null} */
  model = null;
  /** @type {string | null} */
  conversationId = null;
  /** @type {boolean | null} */
  saved = null; // whether the answer was stored; null where nothing was to be
  answer = "";
  thinking = "";
  /** @type {string | null} */
  finishReason = null;
  /** @type {Usage | null} */
  usage = null;
  /** @type {Failure | null} */
  failure = null;
  /** @type {Failure | null} */
  trouble = null; // why the last attempt to connect failed; null once one goes well
  /** @type {Call | null} */
  request = null; // the first one that was sent
  /** @type {Receipt | null} */
  receipt = null;
  /** @type {Error | null} */
  stopFailure = null;
  stopping = false;
  delivering = false; // the stop has not reached the service yet, and is sent again
  abandoned = false; // stopped before the service knew the run
  #left = false; // the user stopped, and the service could not be told

  /**
   * @param {string} id
   * @param {boolean} resumed it was started before, or elsewhere: this page reads it from its first event
   * @param {number} now the clock's milliseconds at the request
   */
  constructor(id, resumed, now) {
    this.id = id;
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
   * A stream begins.
   * @param {number} now
   * @returns {StreamRecord[]} a mark for the inspector, where an earlier connection had brought events
   */
  opened(now) {
    this.known = true;
    this.trouble = null;
    if (this.over) return [];
    this.state = this.meter.firstToken === null ? "waiting" : "streaming";
    return this.cursor === "" ? [] : [this.meter.resumed(now)];
  }

  /** The connection broke, and will be opened again. */
  lose() {
    if (!this.over) this.state = "lost";
  }

  /**
   * Take what one read brought.
   * @param {SseItem[]} items
   * @param {number} bytes how many bytes the read brought
   * @param {number} now
   * @returns {StreamRecord[]}
   */
  receive(items, bytes, now) {
    this.meter.read(bytes);
    return items.map((item) => this.#item(item, now)).filter((record) => record !== null);
  }

  /**
   * @param {SseItem} item
   * @param {number} now
   */
  #item(item, now) {
    if (item.kind === "comment") return this.meter.record("comment", item, now);
    if (this.meter.has(item.id)) return null;
    const event = parse(item.data);
    const type = typeof event?.type === "string" ? event.type : "?";
    const record = this.meter.record(type, item, now);
    if (event !== null && "content" in event && typeof event.content === "string") record.content = event.content;
    if (record.skipped) this.refused({ kind: "gap", expected: record.expected, got: item.id }, now);
    if (!this.over && event !== null) this.#event(event, now);
    return record;
  }

  /**
   * @param {Event} event
   * @param {number} now
   */
  #event(event, now) {
    if (event.type === "start") {
      this.model = event.model ?? null;
      this.conversationId = event.conversationId ?? null;
    } else if (event.type === "chunk" || event.type === "reasoning") {
      const text = typeof event.content === "string" ? event.content : "";
      if (event.type === "chunk") this.answer += text;
      else this.thinking += text;
      if (text === "") return;
      this.state = "streaming";
      this.meter.content(text, now);
    } else if (event.type === "tool_call" || event.type === "tool_arguments") {
      this.state = "streaming";
      this.meter.content(String((event.type === "tool_call" ? event.name : event.content) ?? ""), now);
    } else if (event.type === "end") {
      this.finishReason = event.finishReason ?? null;
      this.usage = event.usage ?? null;
      this.saved = event.saved ?? null;
      this.#close(this.finishReason === "stopped" ? "stopped" : "finished", now);
    } else if (event.type === "error") {
      this.failure = { ...event, kind: "event" };
      this.saved = event.saved ?? null;
      this.#close("failed", now);
    }
  }

  /**
   * Nothing more will be read.
   * @param {number} now
   */
  ended(now) {
    if (this.over) return;
    if (this.stoppedByUser) this.#close("stopped", now);
    else {
      this.failure = { kind: "cut", cause: null };
      this.#close("cut", now);
    }
  }

  /**
   * The request or the connection failed for good. Where events had come, that is a cut.
   * @param {Failure} failure
   * @param {number} now
   */
  refused(failure, now) {
    if (this.over) return;
    if (failure.kind === "problem" && failure.problem.code === "stopped_before_start") this.abandon(now);
    else if (this.stoppedByUser) this.#close("stopped", now);
    else if (this.meter.events === 0 || failure.kind === "gap") {
      this.failure = failure;
      this.#close("failed", now);
    } else {
      this.failure = { kind: "cut", cause: failure };
      this.#close("cut", now);
    }
  }

  /**
   * The user stopped before the service knew the run: it will not start it any more.
   * @param {number} now
   */
  abandon(now) {
    this.abandoned = true;
    this.stopFailure = null;
    this.delivering = false;
    if (!this.over) this.#close("stopped", now);
  }

  /**
   * The service refused to stop the run, or could not be reached.
   * @param {Error} error
   * @param {boolean} again it is tried again
   * @param {number} now
   */
  stopFailed(error, again, now) {
    this.stopFailure = error;
    this.stopping = false;
    this.delivering = again;
    if (!again || this.over) return;
    this.#left = true;
    this.#close("stopped", now);
  }

  /**
   * The stop's receipt. The stream's own end may come before or after it.
   * @param {Receipt} receipt
   */
  stopped(receipt) {
    this.receipt = receipt;
    this.stopFailure = null;
    this.delivering = false;
    this.finishReason ??= receipt.finishReason ?? null;
    this.usage ??= receipt.usage ?? null;
  }

  /**
   * @param {Outcome} state
   * @param {number} now
   */
  #close(state, now) {
    this.state = state;
    this.stopping = false;
    this.meter.close(now, this.usage);
  }
}

/**
 * An event's data; null where it is no JSON object. The service's word is taken for what is in it.
 * @param {string} data
 * @returns {Event | null}
 */
function parse(data) {
  try {
    const value = JSON.parse(data);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
