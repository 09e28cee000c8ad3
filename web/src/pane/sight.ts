/** Whether the model that would answer can see the pictures of a question, and of those before it. */

import type { Content, Model } from "../data/index.js";
import { modelOf } from "../shell/choose.js";
import type { Context } from "./view.js";

export const pictured = (content: Content): boolean => typeof content !== "string" && content.some(({ type }) => type === "image_url");

/** Return the model that would answer, if it sees no pictures. Where nobody knows, it may try. */
export function blind({ data, conversation }: Pick<Context, "data" | "conversation">): Model | undefined {
  const model = modelOf(data, conversation);
  return model?.sees === false ? model : undefined;
}

/** Return the same model, if there are pictures in the chosen way, which it will not be sent. */
export function blindBefore(context: Pick<Context, "data" | "conversation">): Model | undefined {
  const some = context.conversation.steps.value.some(({ question }) => question && pictured(question.content));
  return some ? blind(context) : undefined;
}
