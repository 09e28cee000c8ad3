// The service's HTTP interface: what to send, and what comes back when it says no.

/** @import { Fields } from "./form.js" */
/** @import { Bytes } from "./sse.js" */

/**
 * A request, as `fetch` and curl take it.
 * @typedef {{path: string, method: string, headers: Record<string, string>, body?: string}} Call
 */

const STOP_PATIENCE = 5000; // milliseconds to wait for a stop's receipt

/** The service answered, and refused: an RFC 9457 problem, or whatever it sent instead. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {Wire.Problem} body
   * @param {string | null} retryAfter the header's value
   */
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.name = "Problem";
    this.status = status;
    this.title = body.title ?? "";
    this.detail = body.detail ?? "";
    this.code = body.code ?? "";
    this.errors = Array.isArray(body.errors) ? body.errors : [];
    this.retryAfter = retryAfter;
  }

  /**
   * Read a refused response. Never throws for what the body holds.
   * @param {Response} response
   */
  static async from(response) {
    const text = await response.text().catch(() => "");
    let body = null;
    try {
      body = JSON.parse(text);
    } catch {
      // Not JSON: a proxy's page, perhaps. Its text says more than nothing.
    }
    if (body === null || typeof body !== "object") body = { title: response.statusText, detail: text.slice(0, 400) };
    return new Problem(response.status, body, response.headers.get("Retry-After"));
  }
}

/** The response is a success, but not a stream of events. */
export class NotAStream extends Error {
  /** @param {string} contentType */
  constructor(contentType) {
    super(contentType);
    this.name = "NotAStream";
    this.contentType = contentType;
  }
}

/**
 * What was caught, as an error.
 * @param {unknown} caught
 * @returns {Error}
 */
export function errorOf(caught) {
  return caught instanceof Error ? caught : new Error(String(caught));
}

/**
 * Ask for a run that goes on when this page is gone.
 * @param {Fields} fields what the form holds
 * @param {string} key the caller's key, or ""
 * @param {string | null} runId the run's id; null leaves it to the service
 * @returns {Call}
 */
export function chatRequest(fields, key, runId) {
  /** @type {Wire.ChatBody} */
  const body = { message: fields.message };
  if (fields.systemPrompt) body.systemPrompt = fields.systemPrompt;
  if (fields.model) body.model = fields.model;
  if (fields.thinking) body.enableThinking = true;
  body.onDisconnect = "continue";
  if (runId !== null) body.runId = runId;
  return {
    path: "/ai/chat/stream-sse",
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream", ...authorization(key) },
    body: JSON.stringify(body),
  };
}

/**
 * Ask for a run's events after a cursor.
 * @param {string} runId
 * @param {string} cursor "" for all of them
 * @param {string} key the caller's key, or ""
 * @returns {Call}
 */
export function eventsRequest(runId, cursor, key) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "text/event-stream", ...authorization(key) };
  if (cursor !== "") headers["Last-Event-ID"] = cursor;
  return { path: `/ai/runs/${encodeURIComponent(runId)}/events`, method: "GET", headers };
}

/**
 * What the service says of itself.
 * @returns {Promise<Wire.Info>}
 */
export async function info() {
  const response = await fetch("/ai/info", { headers: { Accept: "application/json" }, cache: "no-store" });
  if (!response.ok) throw await Problem.from(response);
  return response.json();
}

/**
 * The models that a request may name.
 * @param {string} key the caller's key, or ""
 * @returns {Promise<Wire.ModelList>}
 */
export async function models(key) {
  const headers = { Accept: "application/json", ...authorization(key) };
  const response = await fetch("/ai/models", { headers, cache: "no-store" });
  if (!response.ok) throw await Problem.from(response);
  return response.json();
}

/**
 * Send a request whose answer is a stream of events.
 * @param {Call} request
 * @param {AbortSignal} signal
 * @returns {Promise<{runId: string | null, stream: ReadableStream<Bytes>}>} the stream is still to be read
 * @throws {Problem | NotAStream | TypeError} refused; not a stream; no connection
 */
export async function open(request, signal) {
  const { path, method, headers, body } = request;
  const response = await fetch(path, { method, headers, body, signal, cache: "no-store" });
  if (!response.ok) throw await Problem.from(response);
  const type = response.headers.get("Content-Type") ?? "";
  const stream = response.body;
  if (stream === null || !type.toLowerCase().startsWith("text/event-stream")) throw new NotAStream(type);
  return { runId: response.headers.get("X-Run-Id"), stream };
}

/**
 * The path that stops a run.
 * @param {string} runId
 */
export function stopPath(runId) {
  return `/ai/runs/${encodeURIComponent(runId)}/stop`;
}

/**
 * Stop a run and get the receipt. Repeating it is harmless.
 * @param {string} runId
 * @param {string} key the caller's key, or ""
 * @returns {Promise<Wire.Receipt>}
 */
export async function stop(runId, key) {
  const response = await fetch(stopPath(runId), {
    method: "POST",
    headers: { Accept: "application/json", ...authorization(key) },
    cache: "no-store",
    signal: AbortSignal.timeout(STOP_PATIENCE),
  });
  if (!response.ok) throw await Problem.from(response);
  return response.json();
}

/**
 * @param {string} key
 * @returns {Record<string, string>}
 */
function authorization(key) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}
