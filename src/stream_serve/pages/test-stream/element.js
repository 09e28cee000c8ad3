// Small steps with page elements that several views share. Text goes in as text, never as markup.

/** The element with this id. */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`no element #${id}`);
  return element;
}

/** A new element with a class and a text. */
export function make(name, className = "", words = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (words) element.textContent = words;
  return element;
}

/** Set an element's text, only where it differs: an unchanged element costs no layout. */
export function put(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/** Name and value pairs as the content of a <dl>. A value of null or "" is left out. */
export function facts(list, pairs) {
  const rows = [];
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    const row = make("div");
    row.append(make("dt", "", name), make("dd", "", String(value)));
    rows.push(row);
  }
  list.replaceChildren(...rows);
  return rows.length;
}

/** Keeps a scrolled box at its end for as long as the reader has not scrolled away from it. */
export class EndKeeper {
  #box;
  #atEnd = true;

  constructor(box) {
    this.#box = box;
    box.addEventListener("scroll", () => {
      this.#atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
    }, { passive: true });
  }

  /** Call after content was added. */
  keep() {
    if (this.#atEnd) this.#box.scrollTop = this.#box.scrollHeight;
  }

  reset() {
    this.#atEnd = true;
    this.#box.scrollTop = 0;
  }
}
