/** The place of a formula: its source as code, until KaTeX is there and can read it. */

import { make } from "./dom.js";
import type { Formula } from "./formulas.js";

let module: typeof import("./formula.js") | undefined;
let loading: Promise<void> | undefined;
const waiting = new Set<() => void>();

/** All formulas that have been asked for are drawn. */
export async function drawn(): Promise<void> {
  await loading;
}

/** Return the element of a formula. */
export function formula({ tex, display, source }: Formula, block: boolean): HTMLElement {
  const node = make(block ? "div" : "span", { class: display ? "math display" : "math", dir: "ltr", translate: "no", "data-source": source });
  const show = () => void module!.draw(tex, display, node);
  node.append(make("code", {}, tex));
  const idle = !waiting.size;
  waiting.add(show);
  if (!module) loading ??= load();
  else if (idle) loading = module.sliced(waiting);
  return node;
}

async function load(): Promise<void> {
  try {
    const loaded = await import("./formula.js");
    await loaded.style();
    module = loaded;
    await module.sliced(waiting);
  } catch {
    loading = undefined; // The next formula tries again; until then the source is shown.
  }
}
