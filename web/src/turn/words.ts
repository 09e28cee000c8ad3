/** What the page says of a turn, and which actions it offers: functions of its state. The words themselves are elsewhere. */

import { remedyOf, secondsToRetry, type Kind, type Remedy } from "./problem.js";
import { live, over } from "./states.js";
import { empty, reasoningOf, textOf, type Turn } from "./turn.js";

export type TurnWord =
  | "turn.sending" | "turn.sendingSlow" | "turn.starting" | "turn.thinking"
  | "turn.answering" | "turn.offline" | "turn.catchingUp" | "turn.stopping" | "turn.stoppingUnconfirmed"
  | "turn.stopped" | "turn.stoppedClosed" | "turn.stoppedOpen" | "turn.stoppedBeforeStart"
  | "turn.complete" | "turn.tooLong" | "turn.filtered" | "turn.failed" | "turn.cut" | "turn.notSent"
  | "turn.thought" | "turn.retryIn";

/** What happened, for each kind of problem, and what can be done. */
export type ProblemWord = `problem.${Kind}` | `remedy.${Remedy}`;

/** A text of the page: its key, and the numbers in it. */
export interface Word<K extends string = TurnWord> {
  readonly key: K;
  readonly seconds?: number;
  readonly ms?: number;
  readonly tokens?: number;
}

export type Action = "edit" | "stop" | "tryNow" | "retry" | "continue" | "regenerate" | "copy";

/** Return how the turn stands. */
export function label(turn: Turn, now: number): Word {
  switch (turn.state) {
    case "draft":
    case "sending":
      return { key: turn.slow ? "turn.sendingSlow" : "turn.sending" };
    case "thinking":
      return { key: "turn.thinking", seconds: seconds(turn.thinkingAt, now) };
    case "catching-up":
      return { key: "turn.catchingUp" };
    case "stopping-unconfirmed":
      return { key: "turn.stoppingUnconfirmed" };
    case "stopped":
      return stopped(turn);
    case "complete":
      return { key: ENDS[turn.finishReason ?? ""] ?? "turn.complete" };
    case "failed":
    case "cut":
      return { key: notSent(turn) ? "turn.notSent" : `turn.${turn.state}` };
    default:
      return { key: `turn.${turn.state}` };
  }
}

const ENDS: Readonly<Record<string, TurnWord>> = { length: "turn.tooLong", content_filter: "turn.filtered" };

function stopped(turn: Turn): Word {
  const { receipt, usage } = turn;
  if (!receipt && turn.phase === "sending") return { key: "turn.stoppedBeforeStart" };
  const tokens = (receipt?.usage ?? usage)?.completionTokens;
  const known = tokens !== undefined && { tokens };
  // After a reload the receipt is the service's, and asked for when somebody opens it.
  if (!receipt) return { key: "turn.stopped", ...known };
  const key = receipt.upstreamClosed === null ? "turn.stopped" : receipt.upstreamClosed ? "turn.stoppedClosed" : "turn.stoppedOpen";
  return { key, ms: Math.round(receipt.latencyMs), ...known };
}

/** Return how long it thought, or thinks; undefined where it does not. */
export function thought(turn: Turn, now: number): Word | undefined {
  if (!reasoningOf(turn)) return undefined;
  if (turn.state === "thinking") return { key: "turn.thinking", seconds: seconds(turn.thinkingAt, now) };
  // Of an answer from the storage nobody knows for how long it thought.
  if (turn.thinkingAt === undefined) return { key: "turn.thought" };
  return { key: "turn.thought", seconds: seconds(turn.thinkingAt, turn.answerAt ?? turn.endedAt ?? now) };
}

const seconds = (from: number | undefined, to: number): number => Math.max(0, Math.round((to - (from ?? to)) / 1000));

/** Return what went wrong, what can be done, and for how many seconds that has to wait; undefined where nothing went wrong. */
export function trouble(turn: Turn, now: number): { what: ProblemWord; remedy: ProblemWord; wait: Word | undefined } | undefined {
  const { problem, state } = turn;
  if (!problem || (state !== "failed" && state !== "cut")) return undefined;
  const wait = secondsToRetry(problem, now);
  return {
    what: `problem.${problem.kind}`,
    remedy: `remedy.${remedyOf(problem)}`,
    wait: wait ? { key: "turn.retryIn", seconds: wait } : undefined,
  };
}

/** Whether the service never had the question, as far as is known. */
export const unsent = (turn: Turn): boolean => over(turn.state) && turn.phase === "sending";

/** The same, and nobody wanted it so. */
export const notSent = (turn: Turn): boolean => unsent(turn) && turn.state !== "stopped";

/** Whether a stop gives the question back to the box: nothing of the answer had come. */
export const returned = (turn: Turn): boolean => turn.state === "stopped" && empty(turn);

/** Return what a person can do now, in the order in which it is offered. */
export function actions(turn: Turn): readonly Action[] {
  const copy: Action[] = textOf(turn) ? ["copy"] : [];
  if (turn.state === "offline") return ["stop", "tryNow", ...copy];
  if (turn.state === "stopping") return copy;
  if (live(turn.state)) return ["stop", ...copy];
  switch (turn.state) {
    case "draft":
      return [];
    case "complete":
      return [...copy, ...(turn.finishReason === "length" ? (["continue"] as const) : []), "regenerate", "edit"];
    case "stopped":
      return [...copy, ...(copy.length ? (["continue"] as const) : []), "regenerate", "edit"];
    default: // failed and cut
      return ["retry", ...(copy.length ? (["continue"] as const) : []), ...copy, "edit"];
  }
}
