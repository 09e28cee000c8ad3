/**
 * Markdown while it streams. What copying needs loads when it is wanted: clipboard.ts, and copy.ts for a selection.
 */

export { Answer, type AnswerOptions } from "./answer.js";
export type { Words } from "./words.js";
