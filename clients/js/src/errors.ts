/**
 * All errors of the client.
 *
 *     StreamServeError
 *       RequestError      the service refused: a status, and its code
 *       RunError          the run failed: the `error` event at its end
 *       ConnectionError   the service could not be reached for so long that the client gave up
 */

import type { Failure, FieldProblem } from "./types.js";

/** The base of all errors. `code` is stable and made for programs; the message is for people. */
export class StreamServeError extends Error {
  override readonly name: string = "StreamServeError";

  constructor(
    message: string,
    /** The service's code; "" where it gave none. */
    readonly code = "",
    /** Whether the same may go well later. */
    readonly retryable = false,
    /** After how many seconds, where that is known. */
    readonly retryAfter?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The service answered, and refused. */
export class RequestError extends StreamServeError {
  override readonly name = "RequestError";

  constructor(
    message: string,
    readonly status: number,
    code: string,
    retryAfter?: number,
    /** The fields that are wrong, where some are. */
    readonly fields: FieldProblem[] = [],
  ) {
    // What a proxy says of a service that is not there (502, 504) has no code; a defect of the service has one.
    super(message, code, [408, 425, 429, 503].includes(status) || (status > 499 && !code), retryAfter);
  }
}

/** The run failed. What came before it stays valid: the run's `text` has it. */
export class RunError extends StreamServeError {
  override readonly name = "RunError";

  constructor(readonly event: Failure) {
    super(event.message, event.code, event.retryable, event.retryAfter);
  }
}

/** There is no connection to the service, or what answers there is something else. */
export class ConnectionError extends StreamServeError {
  override readonly name = "ConnectionError";

  constructor(message: string, cause?: unknown) {
    super(message, "", true, undefined, { cause });
  }
}
