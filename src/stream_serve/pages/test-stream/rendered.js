// What renders an answer's Markdown. It is a part of the chat page, so that nothing of others is in these modules, and is
// loaded when it is first wanted; where the chat page was not built, there is nothing.

import { BASE, errorOf } from "./service.js";

/**
 * An answer on the page, to which text is added until it ends; `cut`: what was open then is not shown as signs.
 * @typedef {{append: (text: string) => void, end: (how: {cut: boolean}) => void}} Rendered
 */

/** @typedef {(into: HTMLElement, language: "en" | "zh", drawn: () => void) => Rendered} Open */

/**
 * Load it with its style; null where it is not there.
 * @returns {Promise<Open | null>}
 */
export async function load() {
  try {
    /** @type {{open: Open, style: string}} */
    const { open, style } = await import(`${BASE}/chat-page/rendered.js`);
    await loadStyle(style);
    return open;
  } catch (caught) {
    console.info(`The text is not rendered: ${errorOf(caught).message}`);
    return null;
  }
}

/**
 * @param {string} href
 * @returns {Promise<void>}
 */
function loadStyle(href) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  document.head.append(link);
  return new Promise((resolve, reject) => {
    link.onload = () => resolve();
    link.onerror = () => reject(new Error(href));
  });
}
