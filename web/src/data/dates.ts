/** Titles from questions, and conversations in groups by their dates. */

import type { ConversationView } from "./types.js";

const TITLE = 60; // characters as people count them

/** Return the first line of a question, as a title. */
export function titleOf(question: string): string {
  const line = question.trim().split(/[\r\n]/, 1)[0]!.replace(/\s+/g, " ").trim().slice(0, TITLE * 20);
  const letters = Intl.Segmenter ? [...new Intl.Segmenter().segment(line)].map(({ segment }) => segment) : [...line];
  return letters.length <= TITLE ? line : `${letters.slice(0, TITLE - 1).join("").trimEnd()}…`;
}

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
