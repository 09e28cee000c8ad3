// Small steps with page elements that several views share. Text goes in as text, never as markup.

/**
 * The element with this id, which has to be of this kind.
 * @overload
 * @param {string} id
 * @returns {HTMLElement}
 */
/**
 * @template {HTMLElement} T
 * @overload
 * @param {string} id
 * @param {{ new (): T }} kind
 * @returns {T}
 */
/**
 * @param {string} id
 * @param {{ new (): HTMLElement }} kind
 */
export function byId(id, kind = HTMLElement) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`no ${kind.name} #${id}`);
  return element;
}

/**
 * The first element in `parent` that the selector finds, which has to be of this kind.
 * @template {Element} T
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {{ new (): T }} kind
 * @returns {T}
 */
export function within(parent, selector, kind) {
  const element = parent.querySelector(selector);
  if (!(element instanceof kind)) throw new Error(`no ${kind.name} ${selector}`);
  return element;
}

/**
 * Every element in `parent` that the selector finds; each has to be of this kind.
 * @template {Element} T
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {{ new (): T }} kind
 * @returns {T[]}
 */
export function every(parent, selector, kind) {
  return Array.from(parent.querySelectorAll(selector), (element) => {
    if (!(element instanceof kind)) throw new Error(`${selector} is no ${kind.name}`);
    return element;
  });
}

/**
 * The nearest element that the selector finds, from where the event happened outwards; null for none of this kind.
 * @template {Element} T
 * @param {Event} event
 * @param {string} selector
 * @param {{ new (): T }} kind
 * @returns {T | null}
 */
export function around(event, selector, kind) {
  const element = event.target instanceof Element ? event.target.closest(selector) : null;
  return element instanceof kind ? element : null;
}

/**
 * A value that has to be there.
 * @template T
 * @param {T | null | undefined} value
 * @param {string} name what the error calls it
 * @returns {T}
 */
export function present(value, name) {
  if (value === null || value === undefined) throw new Error(`no ${name}`);
  return value;
}

/**
 * A new element with a class and a text.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(name, className = "", words = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (words) element.textContent = words;
  return element;
}

/**
 * Set an element's text, only where it differs: an unchanged element costs no layout.
 * @param {HTMLElement} element
 * @param {string} words
 */
export function put(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/**
 * A name and its value; null, undefined and "" say that there is none.
 * @typedef {[name: string, value: string | number | null | undefined]} Fact
 */

/**
 * Name and value pairs as the content of a <dl>. A value of null or "" is left out.
 * @param {HTMLElement} list
 * @param {Fact[]} pairs
 * @returns {number} how many there are
 */
export function facts(list, pairs) {
  const rows = [];
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    const row = make("div");
    const told = make("dd", "", String(value));
    told.dir = "auto";
    row.append(make("dt", "", name), told);
    rows.push(row);
  }
  list.replaceChildren(...rows);
  return rows.length;
}

/**
 * Keeps a scrolled box at its end for as long as the reader has not scrolled away from it: only what moves it upwards
 * away from the end was the reader. Text that grows, and a box that becomes smaller, leave it where it is.
 */
export class EndKeeper {
  #box;
  #atEnd = true;
  #top = 0;

  /**
   * @param {HTMLElement} box
   * @param {HTMLElement | null} content what grows in it also while nobody calls `keep`
   */
  constructor(box, content = null) {
    this.#box = box;
    box.addEventListener("scroll", () => {
      if (box.scrollHeight - box.scrollTop - box.clientHeight < 24) this.#atEnd = true;
      else if (box.scrollTop < this.#top - 1) this.#atEnd = false;
      this.#top = box.scrollTop;
    }, { passive: true });
    const sizes = new ResizeObserver(() => this.keep());
    sizes.observe(box);
    if (content !== null) sizes.observe(content);
  }

  /** Call after content was added. */
  keep() {
    if (!this.#atEnd) return;
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#top = this.#box.scrollTop;
  }

  reset() {
    this.#atEnd = true;
    this.#box.scrollTop = this.#top = 0;
  }
}
