// The numbers of a run. Every one is measured or stays null: none is guessed.

/** @import { Usage } from "../client.js" */
/** @import { StreamRecord } from "./run.js" */
/** @import { SseItem } from "./sse.js" */

/** Durations in milliseconds of the page's monotonic clock; a rate is a second's. */
export class Meter {
  bytes = 0;
  events = 0;
  comments = 0;
  skips = 0; // ids that did not follow the one before
  lastId = "";
  /** @type {number | null} */
  firstEvent = null;
  /** @type {number | null} */
  firstToken = null;
  /** @type {number | null} */
  total = null;
  characters = 0; // code points of answer and thinking
  /** @type {number[]} */
  gaps = []; // between one content event and the next
  #start;
  #last = 0;
  /** @type {number | null} */
  #lastContent = null;
  /** @type {Usage | null} */
  #usage = null;

  /** @param {number} now the clock's milliseconds, here and in every method */
  constructor(now) {
    this.#start = now;
  }

  /** @param {number} bytes how many a read brought */
  read(bytes) {
    this.bytes += bytes;
  }

  /**
   * Whether the event of this number was counted before.
   * @param {string} id
   */
  has(id) {
    return id !== "" && Number(id) <= Number(this.lastId);
  }

  /**
   * Count one event or comment and say how it stands in time.
   * @param {string} type
   * @param {SseItem} item
   * @param {number} now
   * @returns {StreamRecord}
   */
  record(type, item, now) {
    if (type === "comment") {
      this.comments += 1;
      return this.#record("", type, item, now);
    }
    const expected = Number(this.lastId) + 1;
    const skipped = item.id !== "" && Number(item.id) !== expected;
    this.events += 1;
    this.firstEvent ??= now - this.#start;
    if (skipped) this.skips += 1;
    this.lastId = item.id;
    return { ...this.#record(item.id, type, item, now), skipped, expected };
  }

  /**
   * A new connection to the same run: it has a line of its own, and counts as nothing.
   * @param {number} now
   */
  resumed(now) {
    return this.#record("", "resumed", { size: 0, data: `Last-Event-ID: ${this.lastId}`, raw: new Uint8Array(0) }, now);
  }

  /**
   * @param {string} id
   * @param {string} type
   * @param {Pick<SseItem, "size" | "data" | "raw">} item
   * @param {number} now
   * @returns {StreamRecord}
   */
  #record(id, type, { size, data, raw }, now) {
    const at = now - this.#start;
    const gap = at - this.#last;
    this.#last = at;
    return { id, type, at, gap, size, data, content: null, raw, skipped: false, expected: null };
  }

  /**
   * Count the text of a content event.
   * @param {string} text
   * @param {number} now
   */
  content(text, now) {
    const at = now - this.#start;
    this.firstToken ??= at;
    if (this.#lastContent !== null) this.gaps.push(at - this.#lastContent);
    this.#lastContent = at;
    for (const _ of text) this.characters += 1;
  }

  /**
   * The run is over.
   * @param {number} now
   * @param {Usage | null} usage
   */
  close(now, usage) {
    this.total = now - this.#start;
    this.#usage = usage;
  }

  /**
   * Time since the request; the whole of it once the run is over.
   * @param {number} now
   */
  elapsed(now) {
    return this.total ?? now - this.#start;
  }

  /** Tokens a second, from the usage that came and the time from first token to end; or null. */
  get tokenRate() {
    const tokens = this.#usage?.completionTokens;
    return typeof tokens === "number" ? this.#rate(tokens, this.total) : null;
  }

  get tokenRateEstimated() {
    return this.#usage?.source === "estimated";
  }

  /** Characters a second from the first to the latest text; or null. */
  get characterRate() {
    return this.#rate(this.characters, this.#lastContent);
  }

  /**
   * @param {number} count
   * @param {number | null} until
   */
  #rate(count, until) {
    if (this.firstToken === null || until === null || count === 0) return null;
    const seconds = (until - this.firstToken) / 1000;
    return seconds >= 0.001 ? count / seconds : null;
  }
}

/** @typedef {{count: number, median: number, p95: number, max: number}} Summary */

/**
 * @param {number[]} gaps
 * @returns {Summary | null} null where there are none
 */
export function summary(gaps) {
  if (gaps.length === 0) return null;
  const sorted = Float64Array.from(gaps).sort();
  /** @param {number} share */
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { count: sorted.length, median: at(0.5), p95: at(0.95), max: at(1) };
}
