/**
 * The nodes of an answer: made for new tokens, kept for those that are the same, changed for the others.
 *
 * How it works: a view is what a token became. An element keeps the views of its children only while they may change; of
 * finished blocks, rows and items nothing is kept, unless a link in them still waits for its target.
 */

import type { Display, Source } from "./blocks.js";
import { CodeBox, colour } from "./code.js";
import { follow, make, write } from "./dom.js";
import { decode } from "./entities.js";
import { blockItems, type Item, listItems, rowItem, words } from "./items.js";
import { large } from "./large.js";
import type { Loose, Markdown, Token, Tokens } from "./lex.js";
import { formula } from "./math.js";
import { Notes } from "./notes.js";
import { linkTarget, otherHost, picture } from "./urls.js";
import type { Words } from "./words.js";

interface View {
  kind: string;
  /** What it was made from; the same again needs nothing. */
  raw: string;
  node: ChildNode;
  /** The element that its children are in, what stands after them, and their views. */
  into?: Element;
  anchor?: ChildNode | null;
  views: View[];
  /** What a long list is divided into. */
  lists?: Element[];
  box?: CodeBox;
  table?: { element: HTMLTableElement; head: View[] };
}

/** So many blocks, items or rows stand side by side: each new one lays out all those beside it. */
const PART = 64;
/** With so many formulas there are fewer of them: each formula that is drawn lays out all those beside it, too. */
const FORMULAS = 128;

/** A column of a long table has room for so many pixels, as for numbers that grow. */
const COLUMN = 80;

/** From so many rows on the columns of a table keep their width. */
const FIXED = 30;

export class Views implements Display {
  readonly #notes: Notes;
  #views: View[] = [];
  /** Where new blocks are put. */
  #part: Element;
  #noteViews = new Map<string, View[]>();
  /** What defines each note: the first of those that are finished, and with those that may change. */
  readonly #defined = new Map<string, string>();
  #drafted = this.#defined;
  /** What is to be shown again when a link's target arrives, and what because it has arrived. */
  readonly #waiting = new Map<string, (() => void)[]>();
  readonly #ready = new Set<() => void>();
  #open = false;
  /** Look at every token, also at those that are the same: a link's target has arrived. */
  #stale = false;

  constructor(readonly root: HTMLElement, readonly markdown: Markdown, readonly say: Words) {
    this.#notes = new Notes(root, say);
    this.#part = root;
    root.addEventListener("click", (event) => this.#click(event));
  }

  blocks(tokens: Token[], finished: number, source: Source): void {
    const items = (tokens: Token[]) => blockItems(tokens, this.markdown.formulas);
    if (tokens[0] && !this.#views[0] && isFull(this.#part)) {
      const part = make("div", { class: "part" });
      if (this.#part === this.root) this.root.insertBefore(part, this.#notes.anchor);
      else follow(this.#part, part);
      this.#part = part;
    }
    this.#put(this.#part, this.#views, items(tokens), finished, source, () => items(source.again()));
  }

  items(list: Tokens.List, finished: number, source: Source): void {
    const view = this.#views[0]!;
    const items = (list: Tokens.List) => listItems(list, this.markdown.formulas);
    this.#begin(view);
    // One loose item makes all of them loose.
    if (list.loose && view.into!.className !== "loose") for (const one of view.lists ?? [view.into!]) one.classList.replace("tight", "loose");
    this.#put(view.into!, view.views, items(list), finished, source, () => items(source.again()[0] as Tokens.List));
    widen(view.into!);
  }

  rows(table: Tokens.Table, finished: number, source: Source): void {
    const view = this.#views[0]!;
    const rows = (token: Tokens.Table) => token.rows.map((row) => rowItem(row, this.markdown.formulas));
    this.#begin(view);
    this.#put(view.into!, view.views, rows(table), finished, source, () => rows(source.again()[0] as Tokens.Table));
    if (finished) this.#fix(view.table!.element);
  }

  /** Go on beside a list or a table's body that is full, in another one like it, with what may change. */
  #begin(view: View): void {
    const into = view.into!;
    if (!isFull(into, view.views.length)) return;
    const next = into.cloneNode() as HTMLElement;
    next.append(...view.views.map(({ node }) => node));
    if (next instanceof HTMLOListElement) {
      next.start = (into as HTMLOListElement).start + into.childElementCount;
      widen(next, PART);
    }
    follow(into, (view.into = next));
    (view.lists ??= [into]).push(next);
  }

  /** Show items: all of them are finished, and what follows them stays for now, or none is. */
  #put(into: Element, views: View[], items: Item[], finished: number, source: Source, again: () => Item[]): void {
    this.#change(!finished);
    const done = finished ? views.splice(0, items.filter(({ kind }) => kind !== "footnote").length) : views;
    this.#sync(into, done, items, (finished && views[0]?.node) || null);
    this.#notes.settle();
    this.#stale &&= !finished;
    const kept = finished ? done : [...done];
    const redraw = () => this.#sync(into, kept, again(), null);
    for (const label of source.labels) {
      const others = this.#waiting.get(label);
      if (others) others.push(redraw);
      else this.#waiting.set(label, [redraw]);
    }
    if (finished) done.forEach((view) => this.#finish(view));
    for (const label of this.markdown.fresh.splice(0)) {
      this.#stale = true;
      for (const redraw of this.#waiting.get(label) ?? []) this.#ready.add(redraw);
      this.#waiting.delete(label);
    }
  }

  /** Show what is finished, or may change. */
  #change(open: boolean): void {
    this.#open = open;
    this.#drafted = open ? new Map() : this.#defined;
  }

  code(text: string): void {
    this.#views[0]?.box?.add(text);
  }

  after(tokens: Token[]): void {
    const drafts = this.#views.splice(1);
    this.#change(true);
    this.#sync(this.#part, drafts, blockItems(tokens, this.markdown.formulas), null);
    this.#views.push(...drafts);
    this.#notes.settle();
  }

  close(): void {
    const view = this.#views.shift();
    if (!view) return;
    this.#finish(view);
    for (const { node } of view.box ? [] : view.views) node.remove();
  }

  letters(text: string): boolean {
    let view = this.#views.at(-1);
    while (view && ["p", "run", "strong", "em", "del"].includes(view.kind)) view = view.views.at(-1);
    if (view?.kind !== "text") return false;
    (view.node as Text).appendData(text);
    return true;
  }

  /** Whether there is something to be shown again because a link's target has arrived. */
  get late(): boolean {
    return this.#ready.size > 0;
  }

  /** Show one of those again. */
  link(): void {
    for (const redraw of this.#ready) {
      this.#ready.delete(redraw);
      this.#change(false);
      this.#stale = true;
      return redraw();
    }
  }

  /** Colour the code in a block that will not change. */
  #finish(view: View): void {
    if (view.box) colour(view.box);
    view.views.forEach((inner) => this.#finish(inner));
  }

  /** Make the children of an element what the items say. */
  #sync(into: Element, views: View[], items: Item[], anchor: ChildNode | null): void {
    const shown = items.filter((item) => item.kind !== "footnote" || this.#note(item));
    // The first note makes the place for all notes, which is behind all blocks.
    const end = () => anchor ?? (into === this.root ? this.#notes.anchor : null);
    shown.forEach((item, index) => {
      const old = views[index];
      if (old?.kind === kindOf(item)) return this.#update(old, item);
      const view = this.#create(item);
      if (old) old.node.replaceWith(view.node);
      else into.insertBefore(view.node, end());
      views[index] = view;
      this.#update(view, item);
    });
    for (const { node } of views.splice(shown.length)) node.remove();
  }

  /** Show a note at the answer's end; it is not a block of its own. Of those with the same label the first one counts. */
  #note({ token, raw, inner }: Item): false {
    const label = token.label.toLowerCase();
    const first = this.#defined.get(label) ?? this.#drafted.get(label);
    if (first === undefined) this.#drafted.set(label, raw);
    else if (first !== raw) return false;
    const { into, anchor } = this.#notes.define(label);
    let views = this.#noteViews.get(label);
    if (!views) this.#noteViews.set(label, (views = []));
    this.#sync(into, views, inner(), anchor);
    return false;
  }

  #create(item: Item): View {
    const { kind, token } = item;
    const made = (node: ChildNode, into?: Element): View => ({ kind: kindOf(item), raw: "", node, views: [], ...(into && { into }) });
    const element = (name: keyof HTMLElementTagNameMap, attributes?: Record<string, string>) => {
      const node = make(name, attributes);
      return made(node, node);
    };
    switch (kind) {
      case "text": return made(document.createTextNode(item.text));
      case "code":
        return token.type === "code" ? this.#box(made, item) : element("code", { dir: "ltr", translate: "no" });
      case "display": case "formula": return made(formula(token.formula, kind === "display"));
      case "draft": return element("pre", { class: "math", dir: "ltr", translate: "no" });
      case "reference": return made(this.#notes.reference(token.label));
      case "image": return made(this.#picture(item));
      case "checkbox": {
        const box = make("input", { type: "checkbox", disabled: "" });
        box.checked = token.checked;
        return made(box);
      }
      case "task": {
        const label = make("label");
        return made(make("p", { class: "task" }, label), label);
      }
      case "list": {
        const node = make(token.ordered ? "ol" : "ul");
        if (token.ordered && token.start !== 1) (node as HTMLOListElement).start = token.start;
        return made(node, node);
      }
      case "table": return this.#table(made);
      case "raw": case "run": return element(kind === "raw" ? "p" : "span", { class: kind, dir: "auto" });
      case "a": return element("a", { rel: "noopener noreferrer nofollow", target: "_blank" });
      case "th": case "td": return element(kind, token.align ? { dir: "auto", align: token.align } : { dir: "auto" });
      case "hr": case "br": return made(make(kind));
      default: return element(kind as "p", /^(?:p|h\d|li|blockquote)$/.test(kind) ? { dir: "auto" } : {});
    }
  }

  #update(view: View, item: Item): void {
    const raw = (this.#open ? "~" : "") + item.raw;
    if (view.raw === raw && !this.#stale) return;
    view.raw = raw;
    if (item.kind === "text") return write(view.node as Text, item.text);
    // A last line that may go on has no end.
    if (view.box) return view.box.set(item.text + (this.#open || !item.text || item.text.endsWith("\n") ? "" : "\n"));
    if (item.kind === "draft") {
      view.node.textContent = item.text;
      return;
    }
    if (item.kind === "table") return this.#updateTable(view, item.token as Tokens.Table);
    if (!view.into) return;
    if (item.kind === "a") this.#link(view, item);
    const list = item.kind === "list";
    if (list) view.into.className = item.token.loose ? "loose" : "tight";
    // The items of a long list are told one by one.
    if (list && !item.token.items) return;
    const items = list ? listItems(item.token as Tokens.List, this.markdown.formulas) : item.inner();
    this.#sync(view.into, view.views, items, view.anchor ?? null);
    widen(view.into);
  }

  /** Point a link to its target, and name the host if the text looks like another one. */
  #link(view: View, item: Item): void {
    const url = linkTarget(item.text)!;
    const link = view.node as HTMLAnchorElement;
    if (link.getAttribute("href") !== url.href) link.setAttribute("href", url.href);
    const title = decode(item.token.title ?? "");
    if (title) link.setAttribute("title", title);
    const host = otherHost(words(item.inner()), url);
    if (!host) {
      view.anchor?.remove();
      view.anchor = null;
    } else if (view.anchor) view.anchor.firstChild!.nodeValue = ` (${host})`;
    else link.append((view.anchor = make("span", { class: "host" }, ` (${host})`)));
  }

  /**
   * A picture that is not in the text is loaded when the reader asks for it: its address could carry what was said, or do
   * something here. One in the text that would take much memory is not shown before, either.
   */
  #picture(item: Item): HTMLElement {
    const alt = words(item.inner());
    const found = picture(item.text, document.baseURI);
    if (!found) return make("span", { class: "picture" }, alt);
    const { src, host } = found;
    if (!host && !large(src)) return image(src, alt);
    return make("button", { type: "button", class: "picture", "data-src": src, "data-alt": alt }, this.say.picture(host ?? "", alt));
  }

  #box(made: (node: ChildNode) => View, { token }: Item): View {
    const box = new CodeBox(/^\S*/.exec(token.lang ?? "")![0], this.say);
    return { ...made(box.node), box };
  }

  #table(made: (node: ChildNode, into?: Element) => View): View {
    const body = make("tbody");
    const element = make("table", {}, make("thead"), body);
    const node = make("div", { class: "table", tabindex: "0", role: "group", "aria-label": this.say.table }, element);
    return { ...made(node, body), table: { element, head: [] } };
  }

  #updateTable(view: View, token: Tokens.Table): void {
    const { element, head } = view.table!;
    this.#sync(element.tHead!, head, [rowItem(token.header, this.markdown.formulas)], null);
    if (!token.rows) return;
    this.#sync(view.into!, view.views, token.rows.map((row) => rowItem(row, this.markdown.formulas)), null);
    this.#fix(element);
  }

  /** Let the columns of a long table keep their width: each new row would otherwise lay out all others. */
  #fix(table: HTMLTableElement): void {
    if (table.className || table.rows.length < FIXED) return;
    const head = table.tHead!.rows[0]!;
    const { width } = head.getBoundingClientRect();
    // What is not on the screen yet has no width.
    if (!width) return;
    const columns = [...head.cells].map((cell) => Math.max(cell.getBoundingClientRect().width, COLUMN));
    table.style.setProperty("--width", `${width > table.parentElement!.clientWidth + 1 ? columns.reduce((sum, one) => sum + one) : width}px`);
    table.style.setProperty("--columns", columns.map((one) => `minmax(0, ${one}fr)`).join(" "));
    table.className = "fixed";
  }

  #click(event: Event): void {
    const target = event.target as Element;
    const button = target.closest<HTMLElement>("button.picture");
    if (button) button.replaceWith(image(button.dataset.src!, button.dataset.alt!));
    const link = target.closest(".reference a, .backs a");
    if (link && this.#notes.follow(link)) event.preventDefault();
  }
}

/** Whether what comes next is to stand beside those in an element, of which the last `open` ones may change. */
function isFull(element: Element, open = 0): boolean {
  const most = element.getElementsByClassName("math").length < FORMULAS ? PART : 1;
  return element.childElementCount - open >= most;
}

function kindOf({ kind, token, text, raw }: Item): string {
  const loose = token as Loose;
  if (kind === "list") return loose.ordered ? `ol ${loose.start}` : "ul";
  if (kind === "table") return `table ${(loose.align as unknown[]).join()}`;
  if (kind === "code" && token.type === "code") return `code ${loose.lang ?? ""}`;
  // What cannot change is another one if anything is different.
  if (kind === "formula" || kind === "display" || kind === "image") return `${kind} ${text}`;
  if (kind === "checkbox") return `${kind} ${loose.checked}`;
  return kind === "reference" ? `${kind} ${raw}` : kind;
}

/** Give the numbers of a list the room that they need, or will need with so many items. */
function widen(list: Element, items = list.childElementCount): void {
  if (!(list instanceof HTMLOListElement)) return;
  const digits = `${list.start + items - 1}`.length;
  if (digits > 2) list.style.setProperty("--more", `${digits - 2}`);
}

function image(src: string, alt: string): HTMLImageElement {
  const node = make("img", { alt, loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  node.src = src;
  return node;
}
