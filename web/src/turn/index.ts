/** The turns of a conversation: their states, and what is said of them. */

export { problemOf, secondsToRetry, type Problem } from "./problem.js";
export { live, over } from "./states.js";
export { draft, empty, reasoningOf, restored, step, textOf } from "./turn.js";
export type { Source, Status, Stored, Tool, Turn, TurnEvent } from "./turn.js";
export { actions, label, notSent, returned, thought, trouble, unsent } from "./words.js";
export type { Action } from "./words.js";
