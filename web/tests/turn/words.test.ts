/** What is said of a turn, and what is offered, in each of its states. */

import { expect, it } from "vitest";

import { problemOf, remedyOf, secondsToRetry } from "../../src/turn/problem.js";
import { STATES, live, over } from "../../src/turn/states.js";
import { draft, type Turn } from "../../src/turn/turn.js";
import { actions, label, notSent, returned, thought, trouble } from "../../src/turn/words.js";

const turn = (known: Partial<Turn>): Turn => ({ ...draft(), ...known });
const receipt = { runId: "r", outcome: "stopped", upstreamClosed: true, latencyMs: 11.6, finishReason: "stopped", usage: null } as const;

it("has a word for each state of what is sent, and no two states one", () => {
  const sent = STATES.filter((state) => live(state) || over(state));
  const words = sent.map((state) => label(turn({ state, phase: "answering" }), 0).key);
  expect(new Set(words).size).toBe(sent.length);
});

it("says what a stop did", () => {
  const of = (more: Partial<Turn>) => label(turn({ state: "stopped", phase: "answering", ...more }), 0);
  expect(of({})).toEqual({ key: "turn.stopped" });
  expect(of({ phase: "sending" })).toEqual({ key: "turn.stoppedBeforeStart" });
  expect(of({ receipt })).toEqual({ key: "turn.stoppedClosed", ms: 12 });
  const usage = { promptTokens: 1, completionTokens: 7, totalTokens: 8, source: "estimated" } as const;
  expect(of({ receipt: { ...receipt, usage } })).toMatchObject({ tokens: 7 });
  expect(of({ usage })).toEqual({ key: "turn.stopped", tokens: 7 });
  expect(of({ receipt: { ...receipt, upstreamClosed: false } }).key).toBe("turn.stoppedOpen");
  expect(of({ receipt: { ...receipt, upstreamClosed: null } }).key).toBe("turn.stopped");
});

it("counts how long it thinks, and thought", () => {
  const thinking = turn({ state: "thinking", reasoning: "Hm", thinkingAt: 1000 });
  expect(thought(thinking, 9000)).toEqual({ key: "turn.thinking", seconds: 8 });
  expect(thought({ ...thinking, state: "answering", answerAt: 13_000 }, 99_000)).toEqual({ key: "turn.thought", seconds: 12 });
  expect(thought(turn({ state: "complete", reasoning: "Hm" }), 0)).toEqual({ key: "turn.thought" });
  expect(thought(turn({ state: "complete" }), 0)).toBeUndefined();
});

it("offers to stop whatever is live and does not stop already, and nothing but copies beside it", () => {
  for (const state of STATES.filter(live)) expect(actions(turn({ state })).includes("stop")).toBe(state !== "stopping");
  for (const state of STATES.filter(over)) expect(actions(turn({ state }))).not.toContain("stop");
});

it("offers to go on only where there is text, and to copy only what is there", () => {
  expect(actions(turn({ state: "stopped" }))).toEqual(["regenerate", "edit"]);
  expect(actions(turn({ state: "stopped", text: "a" }))).toEqual(["copy", "continue", "regenerate", "edit"]);
  expect(actions(turn({ state: "complete", text: "a" }))).toEqual(["copy", "regenerate", "edit"]);
  expect(actions(turn({ state: "complete", text: "a", finishReason: "length" }))).toContain("continue");
  expect(actions(turn({ state: "cut", text: "a" }))).toEqual(["retry", "continue", "copy", "edit"]);
  expect(actions(turn({ state: "failed" }))).toEqual(["retry", "edit"]);
});

it("tells a question that was not sent, and one that goes back to the box", () => {
  expect(notSent(turn({ state: "failed" }))).toBe(true);
  expect(label(turn({ state: "failed" }), 0).key).toBe("turn.notSent");
  expect(notSent(turn({ state: "failed", phase: "starting" }))).toBe(false);
  expect(returned(turn({ state: "stopped" }))).toBe(true);
  expect(returned(turn({ state: "stopped", text: "a" }))).toBe(false);
});

it.each([
  [{ code: "unauthorized", status: 401 }, "key", "key"],
  [{ status: 401 }, "key", "key"],
  [{ code: "upstream_rate_limited", retryable: true, retryAfter: 5 }, "rate", "retry"],
  [{ code: "upstream_rate_limited", retryable: false }, "credit", "none"],
  // As it is read again, from the storage.
  [{ code: "upstream_rate_limited" }, "rate", "retry"],
  [{ code: "upstream_context_exceeded" }, "long", "shorten"],
  [{ code: "body_too_large" }, "large", "shorten"],
  [{ code: "upstream_unreachable", retryable: true }, "provider", "retry"],
  [{ code: "history_unavailable", status: 503, retryable: true }, "storage", "retry"],
  [{ code: "history_schema", status: 503 }, "storage", "retry"],
  [{ code: "conversation_not_found", status: 404 }, "gone", "reread"],
  [{ code: "storage_full", status: 409 }, "full", "delete"],
  [{ status: 502, retryable: true }, "busy", "retry"],
  [{ code: "something_new", status: 500 }, "defect", "retry"],
  [{}, "offline", "retry"],
])("makes of %j the kind %s, and says: %s", (fault, kind, remedy) => {
  const problem = problemOf(fault, 1000);
  expect([problem.kind, remedyOf(problem)]).toEqual([kind, remedy]);
});

it("counts down to a retry", () => {
  const problem = problemOf({ status: 429, retryAfter: 5 }, 1000);
  expect([secondsToRetry(problem, 1000), secondsToRetry(problem, 5500), secondsToRetry(problem, 9000)]).toEqual([5, 1, 0]);
  const failed = turn({ state: "failed", problem });
  expect(trouble(failed, 2000)).toEqual({ what: "problem.rate", remedy: "remedy.retry", wait: { key: "turn.retryIn", seconds: 4 } });
  expect(trouble(turn({ state: "answering", problem }), 0)).toBeUndefined();
});
