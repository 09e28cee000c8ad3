/** Making elements. */

/** Return an element with attributes and children; a property cannot be set through it, so no text becomes code. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  element.append(...children);
  return element;
}

/** So many stand side by side in a group. */
const GROUP = 16;

/**
 * Go on behind a part that is full, in another one like it: what is full is skipped by the browser while it is out of sight.
 * Each change makes it look at all that stand beside each other, so they are in groups.
 */
export function follow(full: Element, next: Element): void {
  full.classList.add("full");
  const parent = full.parentElement!;
  const grouped = parent.className === "group";
  if (grouped && parent.childElementCount < GROUP) full.after(next);
  else (grouped ? parent : full).after(make(full.matches("tbody") ? "tbody" : "div", { class: "group" }, next));
}

/** Change a text node in the smallest way, so that a selection in it stays. */
export function write(node: Text, text: string): void {
  const old = node.data;
  if (text === old) return;
  if (text.startsWith(old)) return node.appendData(text.slice(old.length));
  let same = 0;
  while (same < text.length && text[same] === old[same]) same++;
  node.replaceData(same, old.length - same, text.slice(same));
}
