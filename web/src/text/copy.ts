/** What is copied: text for any program, and HTML that has no colours, fonts or controls of this page. */

const SKIP = ".bar, .host, .backs, button";
/** HTML that the reader wants hidden. */
const hidden = (node: Element): boolean => node.localName === "bdi" && document.documentElement.dataset["html"] === "hide";
const BLOCK = /^(?:P|H[1-6]|LI|UL|OL|BLOCKQUOTE|PRE|DIV|TABLE|TR|HR|SECTION|THEAD|TBODY|ARTICLE)$/;
const END = 100; // characters in which an item's mark and the room before it are
const KEPT = new Set("P H1 H2 H3 H4 H5 H6 LI UL OL BLOCKQUOTE PRE CODE TABLE THEAD TBODY TR TH TD HR BR STRONG EM DEL A SUP".split(" "));

/** Return what a selection in an answer is as text and as HTML. */
export function copied(range: Range): { text: string; html: string } {
  const { commonAncestorContainer: common } = range;
  const within = common instanceof Element ? common : common.parentElement;
  const code = within?.closest("pre, code");
  if (code && !within!.closest(".math")) return { text: range.toString(), html: "" };
  const place = document.createElement("div");
  const formula = within?.closest("[data-source]");
  place.append(formula ? formula.cloneNode(true) : range.cloneContents());
  return { text: plain(place), html: clean(place).innerHTML };
}

/** Return the text of nodes: blocks on lines of their own, code as it is, formulas in TeX. */
export function plain(node: Node): string {
  const lines = new Lines();
  lines.add(node, 0);
  return lines.text;
}

class Lines {
  text = "";
  #end = "";

  /** Of the whole text only the end is looked at. */
  #put(text: string): void {
    this.text += text;
    this.#end = (this.#end + text).slice(-END);
  }

  add(node: Node, depth: number): void {
    if (node instanceof Text) this.#put(node.data);
    if (!(node instanceof Element)) return node.childNodes.forEach((child) => this.add(child, depth));
    if (node.matches(SKIP) || hidden(node)) return;
    const source = node.getAttribute("data-source");
    if (source) this.#put(source);
    else if (node.localName === "br") this.#put("\n");
    else if (node.localName === "img") this.#put(node.getAttribute("alt") ?? "");
    else this.#element(node, depth);
  }

  #element(node: Element, depth: number): void {
    const { tagName } = node;
    const block = BLOCK.test(tagName);
    if (block) this.#line(this.#gap(node));
    if (tagName === "LI") this.#put(`${"  ".repeat(Math.max(depth - 1, 0))}${marker(node)}`);
    if (tagName === "INPUT") this.#put((node as HTMLInputElement).checked ? "[x] " : "[ ] ");
    if (tagName === "PRE") this.#put(node.textContent);
    else for (const child of node.childNodes) this.add(child, depth + (tagName === "UL" || tagName === "OL" ? 1 : 0));
    if (/^T[HD]$/.test(tagName) && node.nextElementSibling) this.#put("\t");
    if (block) this.#line(1);
  }

  /** How many line ends stand before a block. */
  #gap(node: Element): number {
    const tight = node.matches(".group, .group > *") || /^(?:LI|TR|THEAD|TBODY)$/.test(node.tagName) || node.closest("li")?.parentElement?.classList.contains("tight");
    return tight || this.#marked() ? 1 : 2;
  }

  #line(count: number): void {
    if (!this.text || this.#marked()) return;
    let ends = 0;
    while (ends < count && this.#end.at(-1 - ends) === "\n") ends++;
    this.#put("\n".repeat(count - ends));
  }

  /** Whether there is nothing but an item's mark in the last line. */
  #marked(): boolean {
    return /(?:^|\n) *(?:-|\d+\.) $/.test(this.#end);
  }
}

function marker(item: Element): string {
  const list = item.parentElement;
  if (!(list instanceof HTMLOListElement)) return "- ";
  return `${list.start + [...list.children].indexOf(item)}. `;
}

/** Return a copy of nodes with nothing but the elements of a text, and where its links lead. */
function clean(node: Node): HTMLElement {
  const into = document.createElement("div");
  for (const child of node.childNodes) into.append(...cleaned(child));
  return into;
}

function cleaned(node: Node): Node[] {
  if (!(node instanceof Element)) return node instanceof Text ? [node.cloneNode()] : [];
  if (node.matches(SKIP) || hidden(node)) return [];
  const source = node.getAttribute("data-source");
  if (source) return [document.createTextNode(source)];
  if (node.localName === "input") return [document.createTextNode((node as HTMLInputElement).checked ? "☑ " : "☐ ")];
  const inner = [...node.childNodes].flatMap(cleaned);
  if (!KEPT.has(node.tagName)) return inner;
  const copy = document.createElement(node.localName);
  const href = node.getAttribute("href");
  if (href && !href.startsWith("#")) copy.setAttribute("href", href);
  const start = node.getAttribute("start");
  if (start) copy.setAttribute("start", start);
  copy.append(...inner);
  return [copy];
}
