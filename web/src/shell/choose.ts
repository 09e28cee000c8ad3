/** Which model answers: a menu of those that there are, with what each can do. */

import type { Conversation, Data, Model } from "../data/index.js";
import { effect } from "../signal.js";
import { say } from "../words/index.js";
import { byId } from "./dom.js";
import { openMenu, type Item } from "./menu.js";
import type { Parts } from "./parts.js";

/** Return what a model can do, in words; what is not known is not said. */
export function abilities({ context, thinks, sees, tools }: Model): string {
  const words = [
    context === null ? "" : say("settings.context", { tokens: context }),
    thinks ? say("settings.thinks") : "",
    sees ? say("settings.sees") : "",
    tools ? say("settings.tools") : "",
  ];
  return words.filter(Boolean).join(" · ");
}

/** Return the name of the model that answers if none is chosen, if it is known. */
export function defaultModel({ data }: Pick<Parts, "data">): string | undefined {
  return data.models.value?.models.find((one) => one.default)?.name ?? data.info.value?.model ?? undefined;
}

/** Return the name of the model that answers in a conversation, if it is known. */
const nameOf = (data: Data, { preferences }: Conversation): string | undefined => preferences.value.value.model ?? defaultModel({ data });

/** Return the model that answers in a conversation, if more is known of it than its name. */
export function modelOf(data: Data, conversation: Conversation): Model | undefined {
  const name = nameOf(data, conversation);
  return data.models.value?.models.find((one) => one.name === name);
}

/** Let the button in the bar say which model answers, and choose another one; without a list, `settings` takes a name. */
export function modelButton(parts: Parts, settings: () => void): void {
  const made = byId("open-model", HTMLButtonElement);
  effect(() => {
    const name = nameOf(parts.data, parts.conversation.value);
    made.textContent = name ?? say("page.noModel");
    made.setAttribute("aria-label", name ? say("page.model", { name }) : say("page.noModel"));
    made.hidden = parts.data.models.value === undefined && !name;
  });
  made.addEventListener("click", () => {
    const models = parts.data.models.peek()?.models ?? [];
    if (models.length) openMenu(made, say("settings.model"), items(parts, models));
    else settings();
  });
}

function items(parts: Parts, models: readonly Model[]): Item[] {
  const { preferences } = parts.conversation.peek();
  const usual = defaultModel(parts);
  const chosen = preferences.value.peek().model ?? usual;
  return models.map((one) => ({
    label: one.name,
    note: abilities(one),
    checked: one.name === chosen,
    act: () => preferences.set({ model: one.name === usual ? undefined : one.name } as { model?: string }),
  }));
}
