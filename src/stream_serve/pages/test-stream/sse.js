// Server-Sent Events from bytes, after the WHATWG rules ("9.2.6 Interpreting an event stream").
//
// How it works: bytes are kept until their line is whole, so a read may end anywhere: in the middle of
// a UTF-8 sequence, or between CR and LF. Only CR, LF and CRLF end a line, and both are ASCII, so a
// finished line always decodes on its own. An empty line dispatches what was gathered. A comment is
// reported too, at its own line end: it is how a heartbeat is seen.

const LF = 10;
const CR = 13;
const COLON = 58;
const SPACE = 32;
const BOM = [0xef, 0xbb, 0xbf];

/** @typedef {Uint8Array<ArrayBuffer>} Bytes  as one read brings them */

/**
 * @typedef {object} SseItem
 * @property {'event' | 'comment'} kind
 * @property {string} id     the last event id in force ("" when there was none yet)
 * @property {string} event  the event's name, "message" unless the stream said otherwise
 * @property {string} data   the data lines joined with LF; for a comment its text
 * @property {Bytes} raw  the bytes as they came, with the empty line that closed them
 * @property {number} size   bytes on the wire
 */

/** A parser for one stream: `push` bytes, get what they completed. It does no I/O. */
export class SseParser {
  #bytes = new Uint8Array(4096);
  #length = 0;
  #mark = 0; // where the bytes of the unfinished item begin
  #line = 0; // where the unfinished line begins
  #scan = 0; // how far line ends have been looked for
  #afterCr = false;
  #atStart = true;
  #gathering = false; // a field has come since the last empty line
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #id = "";
  #event = "";
  /** @type {string[]} */
  #data = [];

  /**
   * Take the bytes of one read.
   * @param {Uint8Array} bytes
   * @returns {SseItem[]} the events and comments that they completed, in order
   */
  push(bytes) {
    this.#append(bytes);
    /** @type {SseItem[]} */
    const items = [];
    while (this.#scan < this.#length) {
      const byte = this.#bytes[this.#scan++];
      if (this.#afterCr) {
        this.#afterCr = false;
        if (byte === LF) {
          this.#line = this.#scan;
          this.#closed(items);
          continue;
        }
      }
      if (byte !== LF && byte !== CR) continue;
      this.#afterCr = byte === CR;
      const end = this.#scan - 1;
      const start = this.#line;
      this.#line = this.#scan;
      this.#take(start, end, items);
    }
    return items;
  }

  /** @param {Uint8Array} bytes */
  #append(bytes) {
    if (this.#mark > 0) {
      this.#bytes.copyWithin(0, this.#mark, this.#length);
      this.#length -= this.#mark;
      this.#line -= this.#mark;
      this.#scan -= this.#mark;
      this.#mark = 0;
    }
    const needed = this.#length + bytes.length;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = needed;
  }

  /**
   * @param {number} start
   * @param {number} end
   * @param {SseItem[]} items
   */
  #take(start, end, items) {
    if (this.#atStart) {
      this.#atStart = false;
      if (BOM.every((byte, index) => this.#bytes[start + index] === byte && start + index < end)) start += BOM.length;
    }
    if (start === end) {
      this.#dispatch(items);
      return;
    }
    const line = this.#bytes.subarray(start, end);
    const colon = line.indexOf(COLON);
    if (colon === 0) {
      this.#emit("comment", this.#decode(line.subarray(line[1] === SPACE ? 2 : 1)), items);
      return;
    }
    this.#gathering = true;
    const name = this.#decode(colon < 0 ? line : line.subarray(0, colon));
    const value = colon < 0 ? "" : this.#decode(line.subarray(colon + (line[colon + 1] === SPACE ? 2 : 1)));
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
  }

  /** @param {SseItem[]} items */
  #dispatch(items) {
    this.#gathering = false;
    if (this.#data.length > 0) this.#emit("event", this.#data.join("\n"), items);
    else this.#closed(items);
    this.#data = [];
    this.#event = "";
  }

  /**
   * @param {SseItem["kind"]} kind
   * @param {string} data
   * @param {SseItem[]} items
   */
  #emit(kind, data, items) {
    const raw = this.#bytes.slice(this.#mark, this.#scan);
    this.#mark = this.#scan;
    items.push({ kind, id: this.#id, event: (kind === "event" && this.#event) || "message", data, raw, size: raw.length });
  }

  /**
   * Line ends that belong to no event: given to the item just before them, where it is still at hand.
   * @param {SseItem[]} items
   */
  #closed(items) {
    if (this.#gathering) return;
    const last = items.at(-1);
    if (last === undefined) {
      this.#mark = this.#scan;
      return;
    }
    const rest = this.#bytes.subarray(this.#mark, this.#scan);
    const raw = new Uint8Array(last.raw.length + rest.length);
    raw.set(last.raw);
    raw.set(rest, last.raw.length);
    last.raw = raw;
    last.size = raw.length;
    this.#mark = this.#scan;
  }

  /** @param {Uint8Array} bytes */
  #decode(bytes) {
    return this.#decoder.decode(bytes);
  }
}
