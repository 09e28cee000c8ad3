/** The text of an answer for the debug page, which loads this at its first answer, under a name that stays: rendered.js. */

import { Answer } from "./text/index.js";
import { language, textWords, type Language } from "./words/index.js";

/** Return an empty answer in an element; `drawn` is called whenever some of it has been drawn. */
export function open(into: HTMLElement, spoken: Language, drawn: () => void): Answer {
  language.value = spoken;
  const frame = (draw: () => void): void => void requestAnimationFrame(() => (draw(), drawn()));
  return new Answer(into, { words: textWords(), frame });
}
