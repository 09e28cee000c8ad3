/** Formulas by KaTeX, which sets its styles through the DOM: no style attribute and no HTML is written. */

import katex from "katex";

declare const FORMULA_STYLE: string | undefined;

/** A formula with more characters is shown as it is written: in KaTeX's form each of them is several elements. */
const LONG = 4000;
/** So many ms of work stand between two moments in which a person can use the page. */
const SLICE = 32;

/** Load KaTeX's style sheet, and with it its fonts. */
export function style(): Promise<void> | undefined {
  if (typeof FORMULA_STYLE !== "string") return undefined;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL(FORMULA_STYLE, import.meta.url).href;
  document.head.append(link);
  return new Promise((resolve, reject) => {
    link.onload = () => resolve();
    link.onerror = () => {
      link.remove();
      reject(new Error());
    };
  });
}

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

/** So many ms of this task are used. */
let used = 0;

/** Draw all that wait, also what comes meanwhile: at once while there is time in this task, and then in the next ones. */
export async function sliced(waiting: Set<() => void>): Promise<void> {
  for (const show of waiting) {
    if (used > SLICE) await new Promise((resolve) => setTimeout(resolve));
    if (!used) setTimeout(() => (used = 0));
    const begin = performance.now();
    show();
    waiting.delete(show);
    used += performance.now() - begin;
  }
}
