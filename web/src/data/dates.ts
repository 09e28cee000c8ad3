/** Titles from questions, and conversations in groups by their dates. */

import type { ConversationView } from "./types.js";

const TITLE = 60; // characters
const LINE = /[^\s\x1c-\x1f\x85][^\r\n]{0,2000}/u;
const BLANK = /[\s\x1c-\x1f\x85]+/gu;
const FLAG = /^[\u{1f1e6}-\u{1f1ff}]/u;

/** Return the first line of a question, as a title: the same that the service makes of it. */
export function titleOf(question: string): string {
  const line = LINE.exec(question)?.[0].replace(BLANK, " ").trim() ?? "";
  const letters = [...line];
  if (letters.length <= TITLE) return line;
  let end = TITLE - 1;
  while (end && parts(letters[end - 1]!, letters[end]!)) end--;
  return `${letters.slice(0, end || TITLE - 1).join("").trimEnd()}…`;
}

/** Whether a cut between them would part what people see as one character. */
const parts = (before: string, after: string): boolean =>
  before === "\u200d" || /^[\p{M}\u200d\u{1f3fb}-\u{1f3ff}]/u.test(after) || (FLAG.test(before) && FLAG.test(after));

/** A word of the page, or a month as YYYY-MM. */
export type GroupName = "today" | "yesterday" | "week" | "month" | `${number}-${string}`;

export interface Group {
  name: GroupName;
  conversations: ConversationView[];
}

/** Group conversations by when they last changed, in their order. Days are those of the reader's clock. */
export function grouped(conversations: readonly ConversationView[], now: Date): Group[] {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  const groups: Group[] = [];
  for (const one of conversations) {
    const name = groupOf(new Date(one.updatedAt), midnight);
    if (groups.at(-1)?.name !== name) groups.push({ name, conversations: [] });
    groups.at(-1)!.conversations.push(one);
  }
  return groups;
}

function groupOf(changed: Date, midnight: Date): GroupName {
  // Days of 23 and 25 hours, twice a year, are days, too.
  const before = (days: number) => new Date(midnight.getFullYear(), midnight.getMonth(), midnight.getDate() - days);
  if (changed >= midnight) return "today";
  if (changed >= before(1)) return "yesterday";
  if (changed >= before(7)) return "week";
  if (changed >= before(30)) return "month";
  return `${changed.getFullYear()}-${String(changed.getMonth() + 1).padStart(2, "0")}`;
}
