/** The chosen way as the page shows it, and as a provider is told of it. */

import type { Question } from "../../../clients/js/src/index.js";
import { textOf, unsent } from "../turn/index.js";
import type { MessageNode } from "./node.js";
import type { Place, Tree } from "./tree.js";
import type { Metadata } from "./types.js";

/** A question and its answer, on the chosen way. Where one of them is missing, the other stands alone. */
export interface Step {
  readonly question: MessageNode | undefined;
  readonly answer: MessageNode | undefined;
  /** Where they stand among their siblings. */
  readonly questions: Place;
  readonly answers: Place;
}

const ALONE: Place = { at: 1, of: 1 };

export function stepsOf(tree: Tree<MessageNode>): Step[] {
  const steps: Step[] = [];
  let question: MessageNode | undefined;
  const place = (node: MessageNode | undefined) => (node ? tree.place(node) : ALONE);
  const add = (answer?: MessageNode) => {
    if (question || answer) steps.push({ question, answer, questions: place(question), answers: place(answer) });
    question = undefined;
  };
  for (const node of tree.path()) {
    if (node.role === "assistant") add(node);
    else {
      add();
      question = node;
    }
  }
  add();
  return steps;
}

/** Return the message that the next question follows. One that the service never had is not gone on with. */
export function endOf(tree: Tree<MessageNode>): MessageNode | undefined {
  let node = tree.path().at(-1);
  while (node?.turn && unsent(node.turn.peek())) node = tree.get(tree.get(node.parentId)?.parentId);
  return node;
}

/** Return what was said, where the service does not have it. Answers that came to nothing are left out. */
export function said(way: readonly MessageNode[]): NonNullable<Question["messages"]> {
  return way.flatMap(({ role, content, turn }) => {
    const words = turn ? textOf(turn.peek()) : content;
    return words.length && (role === "user" || role === "assistant") ? [{ role, content: words }] : [];
  });
}

/** Return the fields of a question for what is chosen. */
export function optionsOf({ model, systemPrompt, temperature, maxTokens, thinking }: Metadata): Question {
  return {
    ...(model && { model }),
    ...(systemPrompt && { systemPrompt }),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(thinking !== undefined && { enableThinking: thinking }),
  };
}
