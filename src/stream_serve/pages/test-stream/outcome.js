// How a run came out: what failed, the stop's receipt, the finish reason and the usage.

/** @import { FieldProblem, Usage } from "../client.js" */
/** @import { Fact } from "./element.js" */
/** @import { EventFailure, Failure, Run } from "./run.js" */

import { byId, facts, make } from "./element.js";
import { NotAStream, Problem } from "./service.js";
import { number, text } from "./text.js";

/**
 * Draws the panels under the answer anew from the run; they change a handful of times a run.
 * @param {Run | null} run
 */
export function showOutcome(run) {
  showFailure(byId("failure"), run);
  showReceipt(byId("receipt"), run);
  showEnd(byId("outcome"), run);
}

/**
 * What a caught exception is, as a run's failure.
 * @param {Error} error
 * @returns {Failure}
 */
export function failureOf(error) {
  if (error instanceof Problem) return { kind: "problem", problem: error };
  if (error instanceof NotAStream) return { kind: "content", contentType: error.contentType };
  return { kind: "network", message: error.message };
}

/**
 * One short sentence about a run's failure.
 * @param {Failure} failure
 */
export function failureTitle(failure) {
  if (failure.kind === "event") return text(`error_${failure.code}`) || text("failedEvent");
  if (failure.kind === "problem") {
    const { code, status } = failure.problem;
    return text(`problem_${code}`) || text(`status_${status}`) || text("failedProblem");
  }
  if (failure.kind === "content") return text("failedContent");
  if (failure.kind === "gap") return text("failedGap");
  return text(failure.kind === "cut" ? "failedCut" : "failedNetwork");
}

/**
 * @param {HTMLElement} panel
 * @param {Run | null} run
 */
function showFailure(panel, run) {
  const failure = run?.failure ?? null;
  panel.hidden = failure === null;
  if (failure === null) {
    panel.replaceChildren();
    return;
  }
  const parts = [make("h3", "", failureTitle(failure)), ...partsOf(failure)];
  panel.replaceChildren(...parts);
}

/**
 * What there is to say about a failure, under its title.
 * @param {Failure} failure
 * @returns {HTMLElement[]}
 */
function partsOf(failure) {
  switch (failure.kind) {
    case "event":
      return [
        paragraph(failure.message || failure.error, "server-words"),
        list([
          [text("code"), failure.code],
          [text("providerCode"), failure.providerCode],
          [text("requestId"), failure.requestId],
          [text("retry"), retryWords(failure)],
        ]),
      ];
    case "problem":
      return problemParts(failure.problem);
    case "network":
      return [paragraph(text("failedNetworkHint")), paragraph(failure.message, "server-words")];
    case "cut": {
      const { cause } = failure;
      return [paragraph(text("failedCutHint")), ...(cause ? [paragraph(failureTitle(cause)), ...partsOf(cause)] : [])];
    }
    case "gap":
      return [paragraph(text("failedGapHint", failure))];
    case "content":
      return [paragraph(text("failedContentHint", { type: failure.contentType || text("nothing") }))];
  }
}

/** @param {Problem} problem */
function problemParts(problem) {
  // The heading already says what a code that it knows means; the server's title would repeat it.
  const title = text(`problem_${problem.code}`) && problem.detail ? "" : problem.title;
  return [
    paragraph([title, problem.detail].filter(Boolean).join(": "), "server-words"),
    ...(problem.errors.length > 0 ? [fieldErrors(problem.errors)] : []),
    list([
      [text("httpStatus"), problem.status],
      [text("code"), problem.code],
      [text("retry"), problem.retryAfter ? text("retryAfter", { seconds: problem.retryAfter }) : null],
    ]),
  ];
}

/**
 * @param {HTMLElement} panel
 * @param {Run | null} run
 */
function showReceipt(panel, run) {
  /** @type {HTMLElement[]} */
  const parts = [];
  if (run?.receipt) {
    const { outcome, upstreamClosed, latencyMs, finishReason, usage } = run.receipt;
    parts.push(
      make("h3", "", text("receipt")),
      list([
        [text("outcome"), text(`outcome_${outcome}`) || outcome],
        [text("upstreamClosed"), text(`closed_${upstreamClosed ?? null}`)],
        [text("latency"), typeof latencyMs === "number" ? text("ms", { value: number(latencyMs, latencyMs < 100 ? 1 : 0) }) : null],
        [text("finishReason"), reasonWords(finishReason)],
        [text("usage"), usageWords(usage)],
      ]),
    );
  } else if (run?.stopFailure) {
    const title = text(run.delivering ? "statusUnconfirmed" : "stopFailed");
    const hint = text(run.delivering ? "stopDelivering" : "stopFailedHint");
    parts.push(make("h3", "", title), paragraph(hint), paragraph(run.stopFailure.message, "server-words"));
  } else if (run?.abandoned) {
    parts.push(paragraph(text("abandoned")));
  }
  panel.replaceChildren(...parts);
  panel.hidden = parts.length === 0;
  panel.classList.toggle("failure", Boolean(run?.stopFailure) && !run?.delivering);
}

/**
 * @param {HTMLElement} panel
 * @param {Run | null} run
 */
function showEnd(panel, run) {
  const told = run?.over && !run.receipt ? run : null;
  const count = facts(panel, [
    [text("finishReason"), told && reasonWords(told.finishReason)],
    [text("usage"), told && usageWords(told.usage)],
    [text("saved"), told && told.saved !== null ? text(`saved_${told.saved}`) : null],
    [text("conversation"), run?.conversationId],
    [text("runId"), run?.known ? run.id : null],
  ]);
  panel.hidden = count === 0;
}

/** @param {EventFailure} failure */
function retryWords(failure) {
  if (typeof failure.retryAfter === "number") return text("retryAfter", { seconds: number(failure.retryAfter) });
  if (typeof failure.retryable === "boolean") return text(failure.retryable ? "retryable" : "notRetryable");
  return null;
}

/**
 * A finish reason with the name the API has for it; null for none.
 * @param {string | null} reason
 */
export function reasonWords(reason) {
  if (!reason) return null;
  const words = text(`reason_${reason}`);
  return words ? `${words} (${reason})` : reason;
}

/** @param {Usage | null} usage */
function usageWords(usage) {
  if (!usage) return null;
  /** @param {unknown} value */
  const count = (value) => (typeof value === "number" ? number(value) : "—");
  const words = [
    text("usageLine", { prompt: count(usage.promptTokens), completion: count(usage.completionTokens), total: count(usage.totalTokens) }),
  ];
  if (typeof usage.reasoningTokens === "number") words.push(text("usageThinking", { reasoning: count(usage.reasoningTokens) }));
  if (usage.source) words.push(text(`source_${usage.source}`) || usage.source);
  return words.join(" · ");
}

/** @param {string | undefined} words */
function paragraph(words, className = "") {
  const element = make("p", className, words ?? "");
  element.dir = "auto";
  return element;
}

/** @param {Fact[]} pairs */
function list(pairs) {
  const element = make("dl", "facts");
  facts(element, pairs);
  return element;
}

/** @param {FieldProblem[]} errors */
function fieldErrors(errors) {
  const element = make("ul", "field-errors");
  for (const { field, message } of errors) {
    const item = make("li");
    item.append(make("code", "", String(field ?? "")), ` ${message ?? ""}`);
    element.append(item);
  }
  return element;
}
