/** The place of a formula: its source as code, until KaTeX is there and can read it. */

import { make } from "./dom.js";
import type { Formula } from "./formulas.js";

type Draw = (tex: string, display: boolean, into: HTMLElement) => boolean;

let draw: Draw | undefined;
let loading: Promise<void> | undefined;
const waiting = new Set<() => void>();

declare const FORMULA_STYLE: string | undefined;

/** All formulas that have been asked for are drawn. */
export async function drawn(): Promise<void> {
  await loading;
}

/** Return the element of a formula. */
export function formula({ tex, display, source }: Formula, block: boolean): HTMLElement {
  const node = make(block ? "div" : "span", { class: display ? "math display" : "math", dir: "ltr", translate: "no", "data-source": source });
  const show = () => void draw!(tex, display, node);
  node.append(make("code", {}, tex));
  if (draw) show();
  else {
    waiting.add(show);
    loading ??= load();
  }
  return node;
}

async function load(): Promise<void> {
  try {
    const [module] = await Promise.all([import("./formula.js"), style()]);
    draw = module.draw;
    await module.sliced(waiting);
  } catch {
    loading = undefined; // The next formula tries again; until then the source is shown.
  }
}

/** Load KaTeX's style sheet, and with it its fonts. */
function style(): Promise<void> | undefined {
  if (typeof FORMULA_STYLE !== "string") return undefined;
  const link = make("link", { rel: "stylesheet", href: new URL(FORMULA_STYLE, import.meta.url).href });
  document.head.append(link);
  return new Promise((resolve, reject) => {
    link.onload = () => resolve();
    link.onerror = () => {
      link.remove();
      reject(new Error());
    };
  });
}
