/** Formulas by KaTeX, which sets its styles through the DOM: no style attribute and no HTML is written. */

import katex from "katex";

/** Draw a formula; return whether it could be read. */
export function draw(tex: string, display: boolean, into: HTMLElement): boolean {
  const place = document.createElement("span");
  try {
    katex.render(tex, place, { displayMode: display, throwOnError: true, strict: "ignore", trust: false, maxSize: 50, maxExpand: 1000 });
  } catch {
    return false;
  }
  into.replaceChildren(...place.childNodes);
  return true;
}
