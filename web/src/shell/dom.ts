/** Elements of the frame: found, made, and worded in the language of the reader. */

import { effect } from "../signal.js";
import { make } from "../text/dom.js";
import { say, type Key, type Values } from "../words/index.js";

export { make };

/** Return the element of the page with this id. Throws where it is another one, or none. */
export function byId<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`#${id} is no ${kind.name}`);
  return found;
}

const SVG = "http://www.w3.org/2000/svg";

/** Return an icon of the page's sheet; it says nothing to a screen reader. */
export function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Let an element that stays say something in the reader's language, as its text or in an attribute. */
export function worded<Kind extends Element>(element: Kind, key: Key, attribute?: string, values?: Values): Kind {
  effect(() => {
    const text = say(key, values);
    if (attribute) element.setAttribute(attribute, text);
    else element.textContent = text;
  });
  return element;
}

/** Return a button with an icon and words. */
export function button(name: string, key: Key, act: () => void, look = "quiet"): HTMLButtonElement {
  const made = make("button", { type: "button", class: look, autocomplete: "off" }, icon(name), worded(make("span"), key));
  made.addEventListener("click", act);
  return made;
}

/** Return a button that is an icon; its words are heard, and shown when the pointer rests on it. */
export function round(name: string, key: Key, act: () => void): HTMLButtonElement {
  const made = make("button", { type: "button", class: "quiet round", autocomplete: "off" }, icon(name));
  worded(made, key, "aria-label");
  worded(made, key, "title");
  made.addEventListener("click", act);
  return made;
}

/** Return a button of words alone. */
export function plainButton(key: Key, act: () => void, look = "plain"): HTMLButtonElement {
  const made = worded(make("button", { type: "button", class: look, autocomplete: "off" }), key);
  made.addEventListener("click", act);
  return made;
}

/** Whether a key belongs to an input method, which is in the middle of a word. Safari ends the word before it says so. */
export const composing = (event: KeyboardEvent): boolean => event.isComposing || event.keyCode === 229;

/** Put nodes into a parent in this order; those that stand right already are not touched, so that they keep the focus. */
export function arrange(parent: Element, nodes: readonly Node[]): void {
  const wanted = new Set(nodes);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  let place = parent.firstChild;
  for (const node of nodes) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
}

/** Tell a screen reader something that is seen elsewhere on the page. */
export function tell(text: string): void {
  const region = byId("said", HTMLElement);
  region.textContent = "";
  // The same words twice would not be heard the second time.
  requestAnimationFrame(() => (region.textContent = text));
}
