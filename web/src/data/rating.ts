/** What the reader thinks of an answer, kept with its message. */

import type { Problem } from "../turn/index.js";
import { troubleOf } from "./api.js";
import type { MessageNode } from "./node.js";
import type { Shared } from "./shared.js";
import type { Feedback } from "./types.js";

/** Store it, and show it at once; return why it cannot be stored. */
export async function rate({ api, tabs }: Shared, id: string, answer: MessageNode, feedback: Feedback): Promise<Problem | undefined> {
  if (!answer.stored) return undefined;
  const before = answer.feedback.peek();
  answer.feedback.value = feedback;
  try {
    await api.json("PATCH", `ai/conversations/${id}/messages/${answer.id}`, { feedback });
    tabs.tell("messages", id);
    return undefined;
  } catch (error) {
    if (answer.feedback.peek() === feedback) answer.feedback.value = before;
    return troubleOf(error);
  }
}
