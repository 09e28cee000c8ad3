/** What went wrong, as a kind that says what can be done. */

/**
 * - `key`: the service does not take the key, or wants one
 * - `credit`: the provider's quota is used up
 * - `long`: the question with its history does not fit
 * - `large`: the question, with what goes along, is more than the service takes
 * - `rate`: too much at once; wait
 * - `busy`: the service begins, ends or is full; wait
 * - `provider`: the provider is away, or failed
 * - `refused`: the provider refused the request
 * - `operator`: only who runs the service can mend it
 * - `model`: there is no such model, or it cannot do this
 * - `fields`: something in the request is wrong
 * - `full`: no more fits into the storage
 * - `storage`: the database is away
 * - `offline`: the service cannot be reached
 * - `gone`: what was asked for is not there any more
 * - `lost`: the process ended before the answer did
 * - `defect`: anything else
 */
export type Kind =
  | "key" | "credit" | "long" | "large" | "rate" | "busy" | "provider" | "refused" | "operator" | "model"
  | "fields" | "full" | "storage" | "offline" | "gone" | "lost" | "defect";

/** What a person can do: `retry` sends the same again, after `retryAfter` where there is one. */
export type Remedy = "key" | "retry" | "shorten" | "change" | "delete" | "reread" | "none";

export interface Problem {
  readonly kind: Kind;
  readonly code: string;
  /** The service's own words, for the details. */
  readonly message: string;
  /** Whether the same may go well later. */
  readonly retryable: boolean;
  /** When it may go well, as epoch milliseconds. */
  readonly retryAt?: number;
  /** The provider's number of the request, for its support. */
  readonly requestId?: string;
}

/** What the errors of the client, of the API and of the `error` event have in common. */
export interface Fault {
  code?: string;
  message?: string;
  status?: number;
  retryable?: boolean;
  /** In seconds. */
  retryAfter?: number | undefined;
  requestId?: string | undefined;
}

const KINDS: Readonly<Record<string, Kind>> = {
  unauthorized: "key",
  upstream_context_exceeded: "long",
  body_too_large: "large",
  head_too_large: "long",
  too_many_runs: "rate",
  too_many_readers: "rate",
  too_many_appends: "rate",
  upstream_rate_limited: "rate",
  full: "busy",
  draining: "busy",
  not_started: "busy",
  run_unreachable: "busy",
  log_unavailable: "busy",
  upstream_unreachable: "provider",
  upstream_error: "provider",
  upstream_protocol: "provider",
  upstream_disconnected: "provider",
  upstream_incomplete: "provider",
  upstream_timeout: "provider",
  models_unavailable: "provider",
  upstream_rejected: "refused",
  upstream_too_large: "long",
  run_timeout: "long",
  upstream_auth: "operator",
  foreign_origin: "operator",
  foreign_host: "operator",
  forbidden: "operator",
  unknown_model: "model",
  invalid_fields: "fields",
  bad_request: "fields",
  conversation_full: "full",
  storage_full: "full",
  history_unavailable: "storage",
  history_schema: "storage",
  history: "storage",
  run_not_found: "gone",
  conversation_not_found: "gone",
  message_not_found: "gone",
  cursor_beyond_log: "gone",
  bad_cursor: "gone",
  events_lost: "gone",
  run_interrupted: "lost",
};

const STATUSES: Readonly<Record<number, Kind>> = { 401: "key", 404: "gone", 413: "large", 422: "fields", 429: "rate" };

const REMEDIES: Readonly<Record<Kind, Remedy>> = {
  key: "key",
  credit: "none",
  long: "shorten",
  large: "shorten",
  rate: "retry",
  busy: "retry",
  provider: "retry",
  refused: "change",
  operator: "none",
  model: "change",
  fields: "change",
  full: "delete",
  storage: "retry",
  offline: "retry",
  gone: "reread",
  lost: "retry",
  defect: "retry",
};

/** Return what an error is to the page. */
export function problemOf(fault: Fault, now: number): Problem {
  const { code = "", message = "", status, retryable, retryAfter, requestId } = fault;
  return {
    kind: kindOf(code, status, retryable),
    code,
    message,
    retryable: retryable ?? false,
    ...(retryAfter !== undefined && { retryAt: now + retryAfter * 1000 }),
    ...(requestId !== undefined && { requestId }),
  };
}

function kindOf(code: string, status: number | undefined, retryable: boolean | undefined): Kind {
  // The provider names both in the same way; only what passes with time is worth waiting for. The storage knows the name alone.
  if (code === "upstream_rate_limited" && retryable === false) return "credit";
  const kind = KINDS[code] ?? (status === undefined ? undefined : STATUSES[status]);
  if (kind) return kind;
  if (status === undefined) return code ? "defect" : "offline";
  // A proxy's word of a service that is not there has no code.
  return retryable && !code ? "busy" : "defect";
}

export const remedyOf = ({ kind }: Problem): Remedy => REMEDIES[kind];

/** Return for how many whole seconds a retry has to wait. */
export const secondsToRetry = ({ retryAt = 0 }: Problem, now: number): number => Math.max(0, Math.ceil((retryAt - now) / 1000));
