/** Formulas by KaTeX, which sets its styles through the DOM: no style attribute and no HTML is written. */

import katex from "katex";

/** A formula with more characters is shown as it is written: in KaTeX's form each of them is several elements. */
const LONG = 4000;
/** So many ms of work stand between two moments in which a person can use the page. */
const SLICE = 32;

/** Draw a formula; return whether it could be read. */
export function draw(tex: string, display: boolean, into: HTMLElement): boolean {
  if (tex.length > LONG) return false;
  const place = document.createElement("span");
  try {
    katex.render(tex, place, { displayMode: display, throwOnError: true, strict: "ignore", trust: false, maxSize: 50, maxExpand: 1000 });
  } catch {
    return false;
  }
  into.replaceChildren(...place.childNodes);
  return true;
}

/** Draw all that have waited, in slices. */
export async function sliced(waiting: Set<() => void>): Promise<void> {
  let until = performance.now() + SLICE;
  for (const show of waiting) {
    waiting.delete(show);
    show();
    if (performance.now() < until) continue;
    await new Promise((resolve) => setTimeout(resolve));
    until = performance.now() + SLICE;
  }
}
