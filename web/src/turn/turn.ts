/**
 * A turn: a question, and what has become of its answer. Pure: each step returns a new turn, or the same one where the
 * table has no such way.
 *
 * How it works: events of a run are taken by their numbers, so that whatever comes twice counts once. After a reload
 * without a cursor all events come again: what the storage had is held and shown, until the events have more. Times are epoch
 * milliseconds.
 */

import type { Event, Receipt, Usage } from "../../../clients/js/src/index.js";
import { problemOf, type Problem } from "./problem.js";
import { next, over, type Move, type Phase, type State } from "./states.js";

export interface Tool {
  readonly id: string;
  readonly name: string;
  /** The text of a JSON object, as far as it has come. */
  readonly arguments: string;
}

export interface Source {
  readonly url: string;
  readonly title?: string | undefined;
}

export interface Turn {
  readonly state: State;
  readonly phase: Phase;
  readonly runId: string;
  /** The number of the last event that is here. */
  readonly cursor: number;
  readonly model: string;
  readonly text: string;
  readonly reasoning: string;
  /** What the storage had of both, while the events have less. */
  readonly held: { readonly text: string; readonly reasoning: string };
  /** The piece of both that came last. Who has all before it does not read the whole again: that is work at each piece. */
  readonly newest: { readonly text: string; readonly reasoning: string };
  readonly tools: readonly Tool[];
  readonly sources: readonly Source[];
  readonly conversationId?: string;
  readonly questionId?: string;
  readonly answerId?: string;
  readonly sentAt?: number;
  /** When the thinking began, and when the answer's text did. */
  readonly thinkingAt?: number;
  readonly answerAt?: number;
  readonly endedAt?: number;
  /** Nothing has been heard of the question for seconds. */
  readonly slow: boolean;
  /** The storage does not have the answer yet. */
  readonly unsaved: boolean;
  readonly finishReason?: string;
  readonly usage?: Usage;
  readonly receipt?: Receipt;
  readonly problem?: Problem;
}

/** How an answer is stored: the status of a message. */
export type Status = "generating" | "complete" | "stopped" | "failed" | "interrupted";

/** What the storage has of an answer. */
export interface Stored {
  readonly status: Status;
  readonly text: string;
  readonly reasoning: string;
  readonly error?: string | null;
}

export type TurnEvent =
  | { type: "stop" | "slow" | "lost" | "connected" | "caught-up" | "gone" | "unconfirmed" }
  | { type: "send"; runId: string }
  | { type: "event"; event: Event; number: number }
  | { type: "stopped-before-start" }
  | { type: "refused" | "gave-up"; problem: Problem }
  | { type: "receipt"; receipt: Receipt }
  | { type: "stored"; stored: Stored };

const NOTHING = { text: "", reasoning: "" };

const BLANK: Turn = {
  state: "draft",
  phase: "sending",
  runId: "",
  cursor: 0,
  model: "",
  text: "",
  reasoning: "",
  held: NOTHING,
  newest: NOTHING,
  tools: [],
  sources: [],
  slow: false,
  unsaved: false,
};

/** Return a turn that is not sent yet. */
export const draft = (known: Partial<Turn> = {}): Turn => ({ ...BLANK, ...known, state: "draft" });

const ENDED: Readonly<Record<Exclude<Status, "generating">, State>> = {
  complete: "complete",
  stopped: "stopped",
  failed: "failed",
  interrupted: "cut",
};

/** Return a turn from the storage. One whose run goes on is catching up: from a cursor on, or from the first event. */
export function restored(stored: Stored, known: Partial<Turn>, now: number): Turn {
  const { status, text, reasoning, error } = stored;
  const phase: Phase = text ? "answering" : reasoning ? "thinking" : "starting";
  if (status !== "generating") {
    const problem = error ? { problem: problemOf({ code: error }, now) } : {};
    return { ...BLANK, phase, ...problem, ...known, text, reasoning, state: ENDED[status] };
  }
  const from = known.cursor ? {} : { held: { text, reasoning } };
  return { ...BLANK, phase, ...known, ...from, state: "catching-up" };
}

/** The text to be shown. */
export const textOf = ({ text, held }: Turn): string => (text.length < held.text.length ? held.text : text);

/** The thought to be shown. */
export const reasoningOf = ({ reasoning, held }: Turn): string =>
  reasoning.length < held.reasoning.length ? held.reasoning : reasoning;

/** Whether anything of the answer is here. */
export const empty = (turn: Turn): boolean => !textOf(turn) && !reasoningOf(turn) && !turn.tools.length;

/** Take what happened. Where the table has no such way, nothing did. */
export function step(turn: Turn, what: TurnEvent, now: number): Turn {
  switch (what.type) {
    case "event":
      return heard(turn, what.event, what.number, now);
    case "stored":
      return reread(turn, what.stored, now);
    case "stopped-before-start":
      return move(turn, "stopped", now);
    case "send":
      return move(turn, "send", now, { runId: what.runId, sentAt: now });
    case "refused":
    case "gave-up":
      return move(turn, what.type, now, { problem: what.problem });
    case "receipt":
      return move(turn, "receipt", now, { receipt: what.receipt });
    case "slow":
      return move(turn, "slow", now, { slow: true });
    default:
      return move(turn, what.type, now);
  }
}

function move(turn: Turn, by: Move, now: number, more: Partial<Turn> = {}): Turn {
  const state = next(turn.state, by, turn.phase);
  if (!state) return turn;
  const ended = over(state) && !over(turn.state);
  // What the storage had stays where no event will come that has more.
  const last = ended ? { endedAt: now, text: textOf(turn), reasoning: reasoningOf(turn), held: NOTHING } : {};
  return { ...turn, ...last, ...more, state };
}

/** Take an event of the run. One that is here already is not taken twice; one without a number always is. */
function heard(turn: Turn, event: Event, number: number, now: number): Turn {
  if (number && number <= turn.cursor) return turn;
  const moved = move(turn, wayOf(event), now, taken(turn, event, now));
  return moved === turn || !number ? moved : { ...moved, cursor: number };
}

function wayOf(event: Event): Move {
  switch (event.type) {
    case "start":
    case "reasoning":
      return event.type;
    case "chunk":
    case "tool_call":
    case "tool_arguments":
      return "text";
    case "end":
      return event.finishReason === "stopped" ? "stopped" : "complete";
    case "error":
      return "failed";
    default:
      return "beside";
  }
}

function taken(turn: Turn, event: Event, now: number): Partial<Turn> {
  switch (event.type) {
    case "start": {
      const { model, conversationId, userMessageId: questionId, messageId: answerId } = event;
      const ids = { ...(conversationId && { conversationId }), ...(questionId && { questionId }), ...(answerId && { answerId }) };
      return { phase: "starting", slow: false, model, ...ids };
    }
    case "reasoning":
      return { phase: "thinking", thinkingAt: turn.thinkingAt ?? now, ...grown(turn, "reasoning", event.content) };
    case "chunk":
      return { phase: "answering", answerAt: turn.answerAt ?? now, ...grown(turn, "text", event.content) };
    case "tool_call":
      return { phase: "answering", answerAt: turn.answerAt ?? now, tools: called(turn.tools, event.index, event) };
    case "tool_arguments":
      return { tools: called(turn.tools, event.index, { more: event.content }) };
    case "source":
      return { sources: [...turn.sources, { url: event.url, title: event.title }] };
    case "end":
      return { finishReason: event.finishReason, usage: event.usage, unsaved: event.saved === false };
    case "error":
      return { problem: problemOf(event, now), unsaved: event.saved === false };
    default:
      return {};
  }
}

function grown(turn: Turn, what: "text" | "reasoning", piece: string): Partial<Turn> {
  const whole = turn[what] + piece;
  const held = turn.held[what] && whole.length >= turn.held[what].length ? { held: { ...turn.held, [what]: "" } } : {};
  return { [what]: whole, newest: { ...turn.newest, [what]: piece }, ...held };
}

function called(tools: readonly Tool[], index: number, of: { id?: string; name?: string; more?: string }): Tool[] {
  const all = [...tools];
  const { id = "", name = "", more = "" } = of;
  const before = all[index];
  all[index] = before ? { ...before, arguments: before.arguments + more } : { id, name, arguments: more };
  return all;
}

/** Take the storage's word for how the answer ended; of two texts the longer one is the answer. */
function reread(turn: Turn, stored: Stored, now: number): Turn {
  const { status, error } = stored;
  if (status === "generating") return turn;
  const known = {
    text: longer(textOf(turn), stored.text),
    reasoning: longer(reasoningOf(turn), stored.reasoning),
    ...(error && !turn.problem && { problem: problemOf({ code: error }, now) }),
  };
  return move(turn, status === "interrupted" ? "gone" : status, now, over(turn.state) ? {} : known);
}

const longer = (one: string, other: string): string => (other.length > one.length ? other : one);
