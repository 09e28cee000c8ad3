// Copy buttons: the clipboard where the browser allows it, the old command where not, and a visible answer.

import { ownText, text } from "./text.js";

const SHOWN_FOR = 1600; // milliseconds

/**
 * Make a button copy something.
 * @param {HTMLButtonElement} button its `data-text` names its own words
 * @param {() => string} content
 */
export function copyButton(button, content) {
  let timer = 0;
  button.addEventListener("click", async () => {
    const done = await copy(content());
    button.textContent = text(done ? "copied" : "copyFailed");
    button.classList.toggle("done", done);
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = ownText(button);
      button.classList.remove("done");
    }, SHOWN_FOR);
  });
}

/** @param {string} words */
async function copy(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    // No clipboard on a page that is not served from a secure address, or no permission.
    return copyBySelection(words);
  }
}

/** @param {string} words */
function copyBySelection(words) {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.className = "offscreen";
  area.readOnly = true;
  area.value = words;
  document.body.append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
  }
}
