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

/** Change a text node in the smallest way, so that a selection in it stays. */
export function write(node: Text, text: string): void {
  const old = node.data;
  if (text === old) return;
  if (text.startsWith(old)) return node.appendData(text.slice(old.length));
  let same = 0;
  while (same < text.length && text[same] === old[same]) same++;
  node.replaceData(same, old.length - same, text.slice(same));
}
