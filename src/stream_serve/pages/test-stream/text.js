// The page's words in the language that is spoken, and the choice of it.

/** @import { Words } from "./words.js" */

import { every } from "./element.js";
import { CHINESE, ENGLISH } from "./words.js";

const STORED_AS = "stream-serve.language";

/** @typedef {"closed" | "error" | "outcome" | "problem" | "reason" | "saved" | "source" | "status"} Family */
/** @typedef {keyof Words | `${Family}_${string}`} Key  a key of a family may be one that has no words */

const LANGUAGES = { zh: CHINESE, en: ENGLISH };
/** @typedef {keyof typeof LANGUAGES} Language */
let current = ENGLISH;

/**
 * The language that is spoken.
 * @returns {Language}
 */
export function language() {
  return current === CHINESE ? "zh" : "en";
}

/**
 * @param {string} name
 * @returns {name is Language}
 */
function isLanguage(name) {
  return Object.hasOwn(LANGUAGES, name);
}

/**
 * The remembered language, else the first of the browser's that the page speaks, else English.
 * @returns {Language}
 */
export function preferredLanguage() {
  let stored = null;
  try {
    stored = localStorage.getItem(STORED_AS);
  } catch {
    // Storage is switched off: the choice then lasts as long as the page.
  }
  if (stored !== null && isLanguage(stored)) return stored;
  const spoken = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0] ?? "");
  return spoken.find(isLanguage) ?? "en";
}

/**
 * Speak this language from now on; `remember` it for the next visit.
 * @param {Language} name
 */
export function setLanguage(name, remember = false) {
  current = LANGUAGES[name];
  document.documentElement.lang = current.tag;
  document.title = current.title;
  translate(document.body);
  if (!remember) return;
  try {
    localStorage.setItem(STORED_AS, name);
  } catch {
    // As above.
  }
}

/**
 * The words for a key, with `{name}` replaced; "" for a key that is not there.
 * @param {Key} key
 * @param {Record<string, unknown>} values
 */
export function text(key, values = {}) {
  return wordsFor(key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/**
 * The words that an element's `data-text` names; "" where it names none.
 * @param {HTMLElement} element
 */
export function ownText(element) {
  return wordsFor(element.dataset.text);
}

/** @param {string | undefined} key */
function wordsFor(key) {
  /** @type {Record<string, string>} */
  const all = current;
  return (key !== undefined && Object.hasOwn(all, key) && all[key]) || "";
}

/**
 * A number as the language writes it.
 * @param {number} value
 */
export function number(value, digits = 0) {
  return value.toLocaleString(current.tag, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/**
 * Milliseconds as a person reads them.
 * @param {number} ms
 */
export function duration(ms) {
  if (ms < 1000) return text("ms", { value: number(ms, ms < 100 ? 1 : 0) });
  return text("s", { value: number(ms / 1000, 2) });
}

/**
 * Bytes as a person reads them.
 * @param {number} bytes
 */
export function size(bytes) {
  if (bytes < 1024) return `${number(bytes)} B`;
  if (bytes < 1024 * 1024) return `${number(bytes / 1024, 1)} KiB`;
  return `${number(bytes / (1024 * 1024), 1)} MiB`;
}

/**
 * Put words with `code` in them into an element, as text and <code> elements.
 * @param {HTMLElement} element
 * @param {string} words
 */
function write(element, words) {
  const parts = words.split("`").map((part, index) => {
    if (index % 2 === 0) return document.createTextNode(part);
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
  element.replaceChildren(...parts);
}

/** @param {HTMLElement} root */
function translate(root) {
  for (const element of every(root, "[data-text]", HTMLElement)) write(element, ownText(element));
  for (const element of every(root, "[data-text-placeholder]", HTMLTextAreaElement)) {
    element.placeholder = wordsFor(element.dataset.textPlaceholder);
  }
  for (const element of every(root, "[data-text-label]", HTMLElement)) {
    element.setAttribute("aria-label", wordsFor(element.dataset.textLabel));
  }
}
