/** The turns of a conversation: their states, and what is said of them. */

export { problemOf, remedyOf, secondsToRetry, type Fault, type Kind, type Problem, type Remedy } from "./problem.js";
export { live, over, type Phase, type State } from "./states.js";
export { draft, empty, reasoningOf, restored, step, textOf } from "./turn.js";
export type { Source, Status, Stored, Tool, Turn, TurnEvent } from "./turn.js";
export { actions, label, notSent, notice, returned, thought, trouble, unsent } from "./words.js";
export type { Action, ProblemWord, TurnWord, Word } from "./words.js";
