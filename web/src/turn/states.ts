/**
 * The states of a turn (a question and its answer), and all ways between them.
 *
 * How it works: a turn is moved by what the person does, by the events of its run, and by what becomes of the
 * connection. TABLE has every way that there is. What is not in the table cannot happen: the turn stays as it is. The
 * states at the bottom are ends; what comes after an end may add to what is known, but never moves the turn again, and a
 * second attempt is a turn of its own.
 *
 *     draft -> sending -> starting -> thinking <-> answering -> complete
 *                 |          |            |            |
 *                 +----------+-- stopping, offline ----+-----> stopped, failed, cut
 *
 * Without a connection a turn is `offline`; when there is one again it is `catching-up`, until what was missed is here.
 */

export const STATES = [
  "draft", "sending", "starting", "thinking", "answering", "offline", "catching-up",
  "stopping", "stopping-unconfirmed", "stopped", "complete", "failed", "cut",
] as const;

export type State = (typeof STATES)[number];

export const MOVES = [
  // Of the person:
  "send", "stop",
  // Of the run:
  "start", "reasoning", "text", "beside", "complete", "stopped", "failed",
  // Of the connection:
  "slow", "lost", "connected", "caught-up", "refused", "gave-up", "gone",
  // Of a stop:
  "receipt", "unconfirmed",
] as const;

/**
 * - `beside`: an event that is neither text nor thought, such as a source
 * - `slow`: nothing has been heard of the question for seconds
 * - `refused`: the service did not take the question
 * - `gave-up`: the service stayed away for too long
 * - `gone`: the service does not know the run, and nothing is stored of its end
 * - `unconfirmed`: a stop is on its way for long, or the process that has the run does not answer
 */
export type Move = (typeof MOVES)[number];

/** What the answer was doing when it was last heard of. */
export type Phase = "sending" | "starting" | "thinking" | "answering";

/** "phase" stands for the state of that name. */
type Ways = Partial<Record<Move, State | "phase">>;

const ENDS: Ways = { complete: "complete", stopped: "stopped", failed: "failed", gone: "cut" };

const LIVE: Ways = { ...ENDS, reasoning: "thinking", text: "answering", stop: "stopping", lost: "offline", "gave-up": "cut" };

/** No text is refused while a stop is on its way: what the provider sent before it is part of the answer. */
const STOPPING: Ways = {
  ...ENDS,
  start: "stopping", reasoning: "stopping", text: "stopping", beside: "stopping", connected: "stopping",
  lost: "stopping-unconfirmed", unconfirmed: "stopping-unconfirmed", "gave-up": "stopping-unconfirmed",
  receipt: "stopped", refused: "stopped",
};

const UNCONFIRMED: Ways = {
  ...ENDS,
  start: "stopping-unconfirmed", reasoning: "stopping-unconfirmed", text: "stopping-unconfirmed", beside: "stopping-unconfirmed",
  connected: "stopping-unconfirmed", stop: "stopping", receipt: "stopped", refused: "stopped",
};

const CATCHING_UP: Ways = { start: "catching-up", reasoning: "catching-up", text: "catching-up", beside: "catching-up" };

export const TABLE: Readonly<Record<State, Ways>> = {
  draft: { send: "sending" },
  sending: { ...LIVE, start: "starting", "gave-up": "failed", slow: "sending", connected: "sending", refused: "failed" },
  starting: { ...LIVE, beside: "starting", connected: "starting" },
  thinking: { ...LIVE, beside: "thinking", connected: "thinking" },
  answering: { ...LIVE, beside: "answering", connected: "answering" },
  offline: { ...ENDS, ...CATCHING_UP, connected: "catching-up", stop: "stopping-unconfirmed", refused: "failed", "gave-up": "cut" },
  "catching-up": { ...ENDS, ...CATCHING_UP, "caught-up": "phase", stop: "stopping", lost: "offline", refused: "failed", "gave-up": "cut" },
  stopping: STOPPING,
  "stopping-unconfirmed": UNCONFIRMED,
  stopped: { receipt: "stopped" },
  complete: { receipt: "complete" },
  failed: { receipt: "failed" },
  cut: { receipt: "cut" },
};

/** Return where a move leads, or undefined where there is no such way. */
export function next(state: State, move: Move, phase: Phase): State | undefined {
  const to = TABLE[state][move];
  return to === "phase" ? phase : to;
}

const OVER: ReadonlySet<State> = new Set<State>(["stopped", "complete", "failed", "cut"]);

/** Whether nothing moves the turn any more. */
export const over = (state: State): boolean => OVER.has(state);

/** Whether the answer is on its way: it can be stopped, and the next question has to wait. */
export const live = (state: State): boolean => !OVER.has(state) && state !== "draft";
