/** Whether the model that would answer can see the pictures of a question. */

import type { Content, Model } from "../data/index.js";
import type { Context } from "./view.js";

export const pictured = (content: Content): boolean => typeof content !== "string" && content.some(({ type }) => type === "image_url");

/** Return the model that would answer, if it sees no pictures. Where nobody knows, it may try. */
export function blind({ data, conversation }: Pick<Context, "data" | "conversation">): Model | undefined {
  const chosen = conversation.preferences.value.peek().model;
  const model = data.models.peek()?.models.find((one) => (chosen ? one.name === chosen : one.default));
  return model?.sees === false ? model : undefined;
}
