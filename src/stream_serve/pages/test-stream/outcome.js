// How a run came out: what failed, the stop's receipt, the finish reason and the usage.

import { NotAStream, Problem } from "./client.js";
import { byId, facts, make } from "./element.js";
import { number, text } from "./text.js";

/** Draws the panels under the answer anew from the run; they change a handful of times a run. */
export function showOutcome(run) {
  showFailure(byId("failure"), run);
  showReceipt(byId("receipt"), run);
  showEnd(byId("outcome"), run);
}

/** What a caught exception is, as a run's failure. */
export function failureOf(error) {
  if (error instanceof Problem) return { kind: "problem", problem: error };
  if (error instanceof NotAStream) return { kind: "content", contentType: error.contentType };
  return { kind: "network", message: error.message };
}

/** One short sentence about a run's failure. */
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

function showFailure(panel, run) {
  const failure = run?.failure ?? null;
  panel.hidden = failure === null;
  if (failure === null) {
    panel.replaceChildren();
    return;
  }
  const parts = [make("h3", "", failureTitle(failure)), ...PARTS[failure.kind](failure)];
  panel.replaceChildren(...parts);
}

const PARTS = {
  event: (failure) => [
    paragraph(failure.message || failure.error, "server-words"),
    list([
      [text("code"), failure.code],
      [text("providerCode"), failure.providerCode],
      [text("requestId"), failure.requestId],
      [text("retry"), retryWords(failure)],
    ]),
  ],
  problem: ({ problem }) => [
    paragraph([problem.title, problem.detail].filter(Boolean).join(": "), "server-words"),
    ...(problem.errors.length > 0 ? [fieldErrors(problem.errors)] : []),
    list([
      [text("httpStatus"), problem.status],
      [text("code"), problem.code],
      [text("retry"), problem.retryAfter ? text("retryAfter", { seconds: problem.retryAfter }) : null],
    ]),
  ],
  network: (failure) => [paragraph(text("failedNetworkHint")), paragraph(failure.message, "server-words")],
  cut: ({ cause }) => [
    paragraph(text("failedCutHint")),
    ...(cause ? [paragraph(failureTitle(cause)), ...PARTS[cause.kind](cause)] : []),
  ],
  gap: (failure) => [paragraph(text("failedGapHint", failure))],
  content: (failure) => [paragraph(text("failedContentHint", { type: failure.contentType || text("nothing") }))],
};

function showReceipt(panel, run) {
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
    const hint = text(run.delivering ? "stopDelivering" : "stopFailedHint");
    parts.push(make("h3", "", text("stopFailed")), paragraph(hint), paragraph(run.stopFailure.message, "server-words"));
  } else if (run?.abandoned) {
    parts.push(paragraph(text("abandoned")));
  }
  panel.replaceChildren(...parts);
  panel.hidden = parts.length === 0;
  panel.classList.toggle("failure", Boolean(run?.stopFailure));
}

function showEnd(panel, run) {
  const told = run?.over && !run.receipt;
  const count = facts(panel, [
    [text("finishReason"), told ? reasonWords(run.finishReason) : null],
    [text("usage"), told ? usageWords(run.usage) : null],
    [text("saved"), told && run.saved !== null ? text(`saved_${run.saved}`) : null],
    [text("conversation"), run?.conversationId],
    [text("runId"), run?.known ? run.id : null],
  ]);
  panel.hidden = count === 0;
}

function retryWords(failure) {
  if (typeof failure.retryAfter === "number") return text("retryAfter", { seconds: number(failure.retryAfter) });
  if (typeof failure.retryable === "boolean") return text(failure.retryable ? "retryable" : "notRetryable");
  return null;
}

/** A finish reason with the name the API has for it. */
export function reasonWords(reason) {
  if (!reason) return null;
  const words = text(`reason_${reason}`);
  return words ? `${words} (${reason})` : reason;
}

function usageWords(usage) {
  if (!usage) return null;
  const count = (value) => (typeof value === "number" ? number(value) : "—");
  const words = [
    text("usageLine", { prompt: count(usage.promptTokens), completion: count(usage.completionTokens), total: count(usage.totalTokens) }),
  ];
  if (typeof usage.reasoningTokens === "number") words.push(text("usageThinking", { reasoning: count(usage.reasoningTokens) }));
  if (usage.source) words.push(text(`source_${usage.source}`) || usage.source);
  return words.join(" · ");
}

function paragraph(words, className = "") {
  return make("p", className, words ?? "");
}

function list(pairs) {
  const element = make("dl", "facts");
  facts(element, pairs);
  return element;
}

function fieldErrors(errors) {
  const element = make("ul", "field-errors");
  for (const { field, message } of errors) {
    const item = make("li");
    item.append(make("code", "", String(field ?? "")), ` ${message ?? ""}`);
    element.append(item);
  }
  return element;
}
