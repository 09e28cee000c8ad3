/** How the messages of the service become those of the page, which may have made them before. */

import { over } from "../turn/index.js";
import { turnOf, type MessageNode } from "./node.js";
import type { Tree } from "./tree.js";
import type { Message } from "./types.js";

/** Return the answer of a run. */
export function answerOf(tree: Tree<MessageNode>, runId: string): MessageNode | undefined {
  for (const node of tree.all()) if (node.turn?.peek().runId === runId) return node;
  return undefined;
}

/** A message may be one that was made here and whose start has not been heard of. */
export function adopt(tree: Tree<MessageNode>, { id, parentId, runId }: Message): void {
  const node = runId && !tree.get(id) && answerOf(tree, runId);
  if (node) name(tree, node, parentId ?? undefined, id);
}

/** Give an answer and its question the ids that the service has for them. */
export function name(tree: Tree<MessageNode>, answer: MessageNode, questionId: string | undefined, answerId: string | undefined): void {
  const question = tree.get(answer.parentId);
  for (const [node, id] of [[question, questionId], [answer, answerId]] as const) {
    if (!node || !id) continue;
    tree.rename(node, id);
    node.stored = true;
  }
}

/** Take what is stored of a message that is here; an answer that is `read` from its run has more. */
export function update(node: MessageNode, message: Message, read: boolean): void {
  node.message = message;
  node.feedback.value = message.feedback;
  if (!node.turn && typeof node.content === "string") node.content = message.content; // only its text may have been known here
  const turn = node.turn?.peek();
  if (!turn || read || message.status === "generating") return;
  // Nothing comes after a stop's mark. Of what was cut the storage may know more.
  if (turn.state === "cut" || !over(turn.state)) node.turn!.value = turnOf(message);
}
