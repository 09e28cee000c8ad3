// The service as this page knows it: where it is, what it says of itself, and what it says when it refuses.
// Runs are the client's to start, read and stop.

/** @import { FieldProblem, Question } from "../client.js" */
/** @import { Fields } from "./form.js" */

import { RequestError } from "../client.js";

/**
 * A request, as curl takes it; its path begins at `BASE`.
 * @typedef {{path: string, method: string, headers: Record<string, string>, body?: string}} Call
 */

/**
 * An RFC 9457 problem. Every member is optional: a proxy may have sent one of its own.
 * @typedef {{title?: string, detail?: string, code?: string, errors?: FieldProblem[]}} ProblemBody
 */

/** Where the service is: this page may be below the prefix of another application. */
export const BASE = new URL(".", location.href).href.replace(/\/$/, "");

/** The service answered, and refused: an RFC 9457 problem, or whatever it sent instead. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {ProblemBody} body
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

  /** Whether the client asks again. */
  get retryable() {
    return new RequestError(this.message, this.status, this.code).retryable;
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
 * What the form asks; its empty fields are left out.
 * @param {Fields} fields
 * @returns {Question}
 */
export function questionOf({ message, systemPrompt, model, thinking }) {
  return {
    message,
    ...(systemPrompt && { systemPrompt }),
    ...(model && { model }),
    ...(thinking && { enableThinking: true }),
  };
}

/**
 * The request that would start a run, for the curl of it.
 * @param {Question} question
 * @param {string} key the caller's key, or ""
 * @returns {Call}
 */
export function preview(question, key) {
  return {
    path: "/ai/chat/stream-sse",
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorization(key) },
    body: JSON.stringify({ onDisconnect: "continue", ...question }),
  };
}

/**
 * The path that stops a run.
 * @param {string} runId
 */
export function stopPath(runId) {
  return `/ai/runs/${encodeURIComponent(runId)}/stop`;
}

/**
 * What the service says of itself.
 * @returns {Promise<Wire.Info>}
 */
export function info() {
  return read("/ai/info", "");
}

/**
 * The models that a request may name.
 * @param {string} key the caller's key, or ""
 * @returns {Promise<Wire.ModelList>}
 */
export function models(key) {
  return read("/ai/models", key);
}

/**
 * @param {string} path
 * @param {string} key
 */
async function read(path, key) {
  const headers = { Accept: "application/json", ...authorization(key) };
  const response = await fetch(BASE + path, { headers, cache: "no-store" });
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
