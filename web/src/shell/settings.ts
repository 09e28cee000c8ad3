/** The settings: of the conversation that is open, kept with it, and of the page, kept in this browser. */

import type { Choice } from "../data/choices.js";
import type { Metadata, Model } from "../data/index.js";
import { effect } from "../signal.js";
import { LANGUAGES, NAMES, say, type Key } from "../words/index.js";
import { abilities, defaultModel, modelOf } from "./choose.js";
import { Dialog } from "./dialog.js";
import { arrange, make, plainButton, tell, worded } from "./dom.js";
import { choice, field, number, text, type Option } from "./field.js";
import type { Parts } from "./parts.js";

const HOTTEST = 2;

export class Settings {
  readonly dialog = new Dialog("settings", "settings.title");
  #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.dialog.body.append(this.#conversation(), this.#page());
  }

  #conversation(): HTMLElement {
    const hint = make("p", { class: "note" });
    const failed = worded(make("p", { class: "wrong", role: "alert" }), "settings.saveFailed");
    effect(() => {
      const { id, preferences } = this.#parts.conversation.value;
      hint.textContent = say(id.value === undefined ? "settings.newHint" : "settings.conversationHint");
      failed.hidden = preferences.problem.value === undefined;
    });
    return section(
      "settings.conversation",
      hint,
      failed,
      this.#model(),
      field(text(4, () => this.#value("systemPrompt") ?? "", (systemPrompt) => this.#set({ systemPrompt })), "system-prompt", "settings.systemPrompt", "settings.systemPromptHint"),
      this.#temperature(),
      this.#maximum(),
      field(this.#thinking(), "thinking", "settings.thinking"),
    );
  }

  /** A list where the service has one, else a name. */
  #model(): HTMLElement {
    const { data } = this.#parts;
    const listed = choice(() => this.#models(), () => this.#value("model") ?? "", (model) => this.#set({ model }));
    const named = text(1, () => this.#value("model") ?? "", (model) => this.#set({ model }));
    const fields = [field(listed, "model", "settings.model"), field(named, "model-name", "settings.model", "settings.modelFailed")] as const;
    const place = make("div");
    effect(() => arrange(place, [fields[data.models.value?.models.length ? 0 : 1]]));
    return place;
  }

  #models(): Option[] {
    const models = this.#parts.data.models.value?.models ?? [];
    const name = defaultModel(this.#parts);
    const usual = { value: "", text: name ? say("settings.usual", { name }) : say("settings.modelUnknown") };
    const others = models.filter((one) => one.name !== name).map((one) => ({ value: one.name, text: [one.name, abilities(one)].filter(Boolean).join(" · ") }));
    const chosen = this.#value("model");
    const known = !chosen || others.some(({ value }) => value === chosen);
    return [usual, ...others, ...(known ? [] : [{ value: chosen, text: chosen }])];
  }

  /** The model that answers, if more is known of it than its name. */
  #answers(): Model | undefined {
    return modelOf(this.#parts.data, this.#parts.conversation.value);
  }

  /** The operator may have set what holds where nothing is chosen, for models that take it. */
  #temperature(): HTMLElement {
    const made = number("temperature", "settings.temperature", "settings.temperatureHint", () => say("settings.temperatureWrong"), {
      value: () => this.#value("temperature"),
      take: (temperature) => this.#set({ temperature }),
      fits: (value) => value >= 0 && value <= HOTTEST,
    });
    const usual = () => (this.#answers()?.temperature === false ? undefined : (this.#parts.data.info.value?.temperature ?? undefined));
    effect(() => {
      const temperature = usual();
      hint(made, temperature, temperature === undefined ? say("settings.temperatureHint") : say("settings.temperatureUsual", { temperature }));
    });
    return made;
  }

  /** The operator may have set the most there can be, which holds where nothing is chosen. */
  #maximum(): HTMLElement {
    const most = () => this.#parts.data.info.value?.maxTokens ?? undefined;
    const wrong = () => (most() === undefined ? say("settings.maximumWrong") : say("settings.maximumAbove", { tokens: most()! }));
    const made = number("maximum", "settings.maximum", "settings.maximumHint", wrong, {
      value: () => this.#value("maxTokens"),
      take: (maxTokens) => this.#set({ maxTokens }),
      fits: (value) => Number.isSafeInteger(value) && value > 0 && value <= (most() ?? value),
    });
    effect(() => {
      const tokens = most();
      hint(made, tokens, tokens === undefined ? say("settings.maximumHint") : say("settings.maximumMost", { tokens }));
    });
    return made;
  }

  #thinking(): HTMLSelectElement {
    const usual = () => {
      const thinking = this.#answers()?.thinks === false ? undefined : this.#parts.data.info.value?.thinking;
      if (typeof thinking !== "boolean") return say("settings.thinkingDefault");
      return say("settings.usual", { name: say(thinking ? "settings.thinkingOn" : "settings.thinkingOff") });
    };
    const options = () => [
      { value: "", text: usual() },
      { value: "true", text: say("settings.thinkingOn") },
      { value: "false", text: say("settings.thinkingOff") },
    ];
    const value = () => `${this.#value("thinking") ?? ""}`;
    return choice(options, value, (chosen) => this.#set({ thinking: chosen === "" ? undefined : chosen === "true" }));
  }

  #page(): HTMLElement {
    const { keys } = this.#parts.data;
    const forget = plainButton("settings.forgetKey", () => {
      keys.forget();
      tell(say("settings.keyForgotten"));
    });
    effect(() => {
      forget.hidden = !this.#parts.data.info.value?.authRequired;
    });
    const languages = () => [{ value: "", text: say("settings.languageAuto") }, ...LANGUAGES.map((one) => ({ value: one, text: NAMES[one] }))];
    return section(
      "settings.page",
      worded(make("p", { class: "note" }), "settings.pageHint"),
      field(this.#choice("language", languages), "language", "settings.language"),
      field(this.#choice("theme", of({ "": "settings.themeAuto", light: "settings.themeLight", dark: "settings.themeDark" })), "theme", "settings.theme"),
      field(this.#choice("enter", of({ "": "settings.enterAuto", sends: "settings.enterSends", breaks: "settings.enterBreaks" })), "enter", "settings.enter"),
      field(this.#choice("voice", of({ sentences: "settings.voiceSentences", end: "settings.voiceEnd", off: "settings.voiceOff" })), "voice", "settings.voice"),
      field(this.#choice("letters", of({ on: "settings.lettersOn", off: "settings.lettersOff" })), "letters", "settings.letters", "settings.lettersHint"),
      field(this.#choice("html", of({ "": "settings.htmlShow", hide: "settings.htmlHide" })), "html", "settings.html", "settings.htmlHint"),
      forget,
    );
  }

  #choice(name: keyof Choice, options: () => readonly Option[]): HTMLSelectElement {
    const { choices } = this.#parts;
    return choice(options, () => choices.get(name), (value) => choices.take(name, value));
  }

  #value<Name extends "model" | "systemPrompt" | "temperature" | "maxTokens" | "thinking">(name: Name): Metadata[Name] {
    return this.#parts.conversation.value.preferences.value.value[name];
  }

  /** Undefined and "" are as if it was never chosen. */
  #set(changes: { [Name in keyof Metadata]: Metadata[Name] | undefined }): void {
    this.#parts.conversation.peek().preferences.set(changes as Metadata);
  }
}

const of = (words: Readonly<Record<string, Key>>) => (): Option[] => Object.entries(words).map(([value, key]) => ({ value, text: say(key) }));

/** Say what holds where a field is empty. */
function hint(field: HTMLElement, usual: number | undefined, words: string): void {
  field.querySelector("input")!.placeholder = `${usual ?? ""}`;
  field.querySelector("small")!.textContent = words;
}

const section = (title: Key, ...children: Node[]): HTMLElement => make("section", {}, worded(make("h3"), title), ...children);
