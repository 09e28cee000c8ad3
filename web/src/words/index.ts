/** Every text on the screen, in the language of the reader. */

import { signal } from "../signal.js";
import type { Words as TextWords } from "../text/index.js";
import { en, type Key, type Words } from "./en.js";
import { zh } from "./zh.js";

export type { Key } from "./en.js";
export type Language = "en" | "zh";
export type Values = Readonly<Record<string, string | number>>;

export const LANGUAGES: readonly Language[] = ["en", "zh"];
/** The languages by their own names, and as `lang` has them. */
export const NAMES: Readonly<Record<Language, string>> = { en: "English", zh: "中文" };
export const TAGS: Readonly<Record<Language, string>> = { en: "en", zh: "zh-CN" };

const WORDS: Readonly<Record<Language, Words>> = { en, zh };
const PLACE = /\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g;

/** The language that is spoken; whoever reads it in an effect is run again when another one is chosen. */
export const language = signal<Language>("en");

/** Return the language of a browser with these preferences. */
export function preferred(tags: readonly string[]): Language {
  for (const tag of tags) {
    const [primary] = tag.toLowerCase().split("-");
    const known = LANGUAGES.find((one) => one === primary);
    if (known) return known;
  }
  return "en";
}

/** Return the words for a key, with its values. Read in an effect, they follow the language. */
export function say(key: Key, values: Values = {}): string {
  const spoken = language.value;
  return WORDS[spoken][key].replace(PLACE, (_, name: string, one?: string, other?: string) => {
    const value = values[name] ?? "";
    if (one !== undefined) return value === 1 ? one : (other ?? "");
    return typeof value === "number" ? format(value, spoken) : value;
  });
}

const format = (value: number, spoken: Language): string => value.toLocaleString(TAGS[spoken]);

/** Return what the controls inside the text of an answer say. */
export function textWords(): TextWords {
  return {
    code: say("text.code"),
    copy: say("text.copy"),
    copied: say("text.copied"),
    notCopied: say("text.notCopied"),
    wrap: say("text.wrap"),
    table: say("text.table"),
    picture: (host, alt) => (!host ? say("text.pictureLarge", { alt }) : alt ? say("text.picture", { host, alt }) : say("text.pictureUnnamed", { host })),
    notes: say("text.notes"),
    note: (number) => say("text.note", { number }),
    back: (number) => say("text.back", { number }),
  };
}
