// A text that only grows, as the page's text nodes. It is cut into blocks at line ends, so that new text
// makes the browser lay out the last block again and not the whole of a long answer.

const BLOCK = 4096; // characters after which the next line end closes a block

export class GrowingText {
  #parent;
  /** @type {Text | null} */
  #node = null;

  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.#parent = parent;
  }

  clear() {
    this.#node = null;
    this.#parent.replaceChildren();
  }

  /**
   * Add text at the end. The parent's textContent is exactly what was added.
   * @param {string} words
   */
  append(words) {
    for (let from = 0; from < words.length; ) {
      const node = (this.#node ??= this.#open());
      const line = words.indexOf("\n", Math.max(from, from + BLOCK - node.length - 1));
      const to = line < 0 ? words.length : line + 1;
      node.appendData(words.slice(from, to));
      if (line >= 0) this.#node = null;
      from = to;
    }
  }

  #open() {
    const block = document.createElement("div");
    block.dir = "auto";
    const node = document.createTextNode("");
    block.append(node);
    this.#parent.append(block);
    return node;
  }
}
