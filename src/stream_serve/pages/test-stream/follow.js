// Reads a stream of events to its end. It does not know how the stream was asked for: a new run and a run
// taken up again are followed alike. An event that the cut of a connection left unfinished is dropped with
// its parser: the next connection brings it whole.

/** @import { Run, StreamRecord } from "./run.js" */
/** @import { Bytes } from "./sse.js" */

import { SseParser } from "./sse.js";

/**
 * Read a response's body into a run.
 * @param {ReadableStream<Bytes>} body
 * @param {Run} run
 * @param {(bytes: Bytes, records: StreamRecord[]) => void} seen called for each read
 * @returns {Promise<void>} settles at the end of the stream; rejects when the connection breaks or is aborted
 */
export async function follow(body, run, seen) {
  const reader = body.getReader();
  const parser = new SseParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    seen(value, run.receive(parser.push(value), value.length, performance.now()));
  }
}
