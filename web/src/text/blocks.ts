/**
 * Which blocks of an answer are finished, at a cost that depends on the new text only.
 *
 * How it works: only the text since the last finished block is kept, the tail. At a line's end marked's own lexer of
 * blocks reads it, and all blocks but the last are finished. A fence, a table and a list do not wait for their end: lines,
 * rows and items are finished one by one. Any other block that grows long is read again only when it has grown by a
 * sixteenth, and letters that mean nothing to Markdown are added to what is shown without reading.
 */

import { hold } from "./heal.js";
import { type Loose, type Markdown, type Token, type Tokens } from "./lex.js";

/** What shows the blocks. Tokens are those since the last finished one; the first `finished` of them will not change. */
export interface Display {
  blocks(tokens: Token[], finished: number, source: Source): void;
  items(list: Tokens.List, finished: number, source: Source): void;
  rows(table: Tokens.Table, finished: number, source: Source): void;
  /** Add text to the open fence. */
  code(text: string): void;
  /** Show what comes after the open list or table. */
  after(tokens: Token[]): void;
  /** The open fence, table or list is complete. */
  close(): void;
  /** Add letters at the end of the text that was shown last; return whether that could be done. */
  letters(text: string): boolean;
}

/** Where finished tokens came from, to read them again when a link's target arrives. */
export interface Source {
  labels: Set<string>;
  again: () => Token[];
}

const LETTERS = /^[\p{L}\p{N} ,，。、；：！？（）《》“”]+$/u;
const LINE_OF_LETTERS = /(?:^|\n) {0,3}\p{L}[^\n]*$/u;
const FENCE = /^( {0,3})(`{3,}|~{3,})/;
type Mode = "flow" | "list" | "table" | "fence";

/** Up to so many characters a block is read again with each piece. */
const SHORT = 2000;
const NOTHING: Source = { labels: new Set(), again: () => [] };

export class Blocks {
  #tail = "";
  #mode: Mode = "flow";
  /** How much of the tail has been read, and how much of it line by line. */
  #shown = 0;
  #lines = 0;
  /** Letters can be added without reading. */
  #plain = false;
  /** An empty line ends what is shown last. */
  #ends = false;
  #head = "";
  #close = /$/;
  #indent = 0;
  /** The beginning of the fence's last line is shown already. */
  #begun = false;

  constructor(readonly markdown: Markdown, readonly display: Display) {}

  /** Show what the text adds. Return whether all of it is shown; `now` does not wait for more. */
  add(text: string, now = false): boolean {
    const whole = this.#shown === this.#tail.length;
    this.#tail += text;
    if (this.#mode === "flow" && this.#plain && whole && LETTERS.test(text) && this.display.letters(text)) {
      this.#shown = this.#tail.length;
      return true;
    }
    if (!now && this.#waits()) return false;
    this.#read(false);
    this.#draft();
    return true;
  }

  /** Show what has arrived as it is; with `cut`, what was open at the end remains closed for the eye. */
  end(cut: boolean): void {
    if (cut) return void this.add("", true);
    this.#read(true);
    this.display.blocks([], 0, NOTHING);
  }

  /** A long block waits until there is enough to read it again. */
  #waits(): boolean {
    if (this.#mode === "fence" || this.#mode === "table" || this.#tail.length < SHORT) return false;
    if (this.#ends && this.#tail.includes("\n\n", this.#shown)) return false;
    return this.#tail.length - this.#shown < this.#tail.length / 16;
  }

  /** Find what is finished, in each mode until nothing more is. */
  #read(end: boolean): void {
    for (let mode, length; mode !== this.#mode || length !== this.#tail.length; ) {
      mode = this.#mode;
      length = this.#tail.length;
      if (mode === "fence") this.#fence(end);
      else if (mode === "table") this.#rows(end);
      else if (mode === "list") this.#items(end);
      else this.#flow(end);
    }
  }

  /** The tail's complete lines, if there are new ones. */
  #complete(end: boolean): string {
    const length = end ? this.#tail.length : this.#tail.lastIndexOf("\n") + 1;
    if (length <= this.#lines && !end) return "";
    this.#lines = length;
    return this.#tail.slice(0, length);
  }

  #drop(length: number, mode: Mode = this.#mode): void {
    this.#tail = this.#tail.slice(length);
    this.#lines = this.#shown = 0;
    this.#plain = false;
    this.#mode = mode;
  }

  #flow(end: boolean): void {
    const text = this.#complete(end);
    if (!text) return;
    const { tokens, leaves } = this.markdown.blocks(text, !end);
    const last = tokens.findLastIndex(({ type }) => type !== "space");
    const token = tokens[last] as Loose | undefined;
    if (!token) return;
    const finished = end || isClosed(token, last < tokens.length - 1) ? tokens.length : firstOpen(tokens, last);
    if (finished) this.#finish(tokens.slice(0, finished), leaves);
    if (finished === last) this.#enter(token);
    else if (end) this.#drop(this.#tail.length);
  }

  #finish(tokens: Token[], leaves: ReturnType<Markdown["blocks"]>["leaves"]): void {
    const labels = this.markdown.inline(tokens, leaves);
    const raw = tokens.map(({ raw }) => raw).join("");
    this.display.blocks(tokens, tokens.length, { labels, again: () => this.markdown.read(raw).tokens });
    this.#drop(raw.length);
  }

  /** Go on inside the last block, if it is of those whose parts are finished one by one. */
  #enter(token: Loose): void {
    this.#lines = this.#tail.lastIndexOf("\n") + 1;
    const fence = token.type === "code" && FENCE.exec(token.raw);
    if (fence) {
      const [, indent = "", run = ""] = fence;
      this.display.blocks([{ ...token, text: "" } as Token], 0, NOTHING);
      this.#close = closing(run);
      this.#indent = run[0] === "`" ? indent.length : 0;
      this.#begun = false;
      this.#drop(this.#tail.indexOf("\n") + 1, "fence");
    } else if (token.type === "table") {
      const [head = "", line = ""] = this.#tail.split("\n", 2);
      this.#head = `${head}\n${line}\n`;
      const header = this.#head;
      const { tokens, labels } = this.markdown.read(header);
      // Its rows are told one by one.
      const again = () => this.markdown.read(header).tokens.map((table) => ({ ...table, rows: undefined }) as Token);
      this.display.blocks(tokens, 0, { labels, again });
      this.#drop(this.#head.length, "table");
    } else if (token.type === "list" && token.items.length > 1) {
      this.display.blocks([{ ...token, items: undefined } as Token], 0, NOTHING);
      this.#lines = 0;
      this.#mode = "list";
      this.#plain = false;
    }
  }

  #fence(end: boolean): void {
    let at = 0;
    let added = "";
    let closed = false;
    for (let next; !closed && (next = this.#tail.indexOf("\n", at)) >= 0; at = next + 1) {
      const line = this.#tail.slice(at, next);
      closed = !this.#begun && this.#close.test(line);
      if (!closed) added += `${this.#begun ? line : this.#dedent(line)}\n`;
      this.#begun = false;
    }
    const rest = this.#tail.slice(at);
    if (!closed && rest) {
      if (end && !this.#begun && this.#close.test(rest)) at = this.#tail.length;
      else if (end || this.#begun || !/^[ \t]*[`~]*[ \t]*$/.test(rest)) {
        added += this.#begun ? rest : this.#dedent(rest);
        this.#begun = true;
        at = this.#tail.length;
      }
    }
    if (added) this.display.code(added);
    if (at) this.#drop(at);
    if (closed || end) this.#leave();
  }

  #dedent(line: string): string {
    return line.slice(Math.min(this.#indent, line.length - line.trimStart().length));
  }

  #leave(): void {
    this.display.close();
    this.#drop(0, "flow");
  }

  #rows(end: boolean): void {
    const text = this.#complete(end);
    if (!text) return end ? this.#leave() : undefined;
    const { tokens, labels } = this.markdown.read(this.#head + text);
    const table = tokens[0] as Tokens.Table;
    const length = Math.min(table.raw.length - this.#head.length, text.length);
    if (table.rows.length) this.display.rows(table, table.rows.length, { labels, again: () => this.markdown.read(this.#head + text.slice(0, length)).tokens });
    this.#drop(Math.max(length, 0));
    if (end || tokens.length > 1) this.#leave();
  }

  #items(end: boolean): void {
    const text = this.#complete(end);
    if (!text) return end ? this.#leave() : undefined;
    const { tokens, leaves } = this.markdown.blocks(text, !end);
    const list = tokens[0] as Tokens.List;
    if (list?.type !== "list") return this.#leave();
    const over = end || tokens.some(({ type }, index) => index && type !== "space");
    const finished = over ? list.items.length : list.items.length - 1;
    if (!finished) return;
    const items = list.items.slice(0, finished);
    const raw = over ? list.raw : items.map((item) => item.raw).join("");
    const labels = this.markdown.inline([{ ...list, items }], leaves);
    this.display.items({ ...list, items }, finished, { labels, again: () => this.markdown.read(raw).tokens });
    this.#drop(raw.length);
    if (over) this.#leave();
  }

  /** Show the part that may still change. */
  #draft(): void {
    this.#shown = this.#tail.length;
    this.#plain = false;
    if (this.#mode === "fence") return;
    if (this.#mode === "table") return this.#draftRow();
    const tokens = this.#drafted();
    if (this.#mode === "list") {
      const [list, ...more] = tokens;
      if (list?.type === "list") this.display.items(list as Tokens.List, 0, NOTHING);
      return this.display.after(list?.type === "list" ? more : []);
    }
    this.display.blocks(tokens, 0, NOTHING);
    const last = tokens.at(-1);
    this.#ends = !!last && isClosed(last, true);
    this.#plain = last?.type === "paragraph" && this.markdown.plain && LINE_OF_LETTERS.test(this.#tail) && LETTERS.test(this.#tail.at(-1)!);
  }

  #drafted(head = ""): Token[] {
    return this.markdown.open(head + hold(this.#tail)).filter(({ type }) => type !== "space");
  }

  #draftRow(): void {
    const [table, ...more] = this.#drafted(this.#head);
    this.display.rows(table as Tokens.Table, 0, NOTHING);
    this.display.after(more);
  }
}

/** Where what may change begins: a formula that does not end is text of the paragraph above it. */
function firstOpen(tokens: Token[], last: number): number {
  return tokens[last]!.type === "draft" && tokens[last - 1]?.type === "paragraph" ? last - 1 : last;
}

/** Whether nothing that follows can belong to a block; `spaced` says that an empty line does. */
function isClosed(token: Loose, spaced: boolean): boolean {
  if (["heading", "hr", "formula"].includes(token.type)) return true;
  if (token.type === "paragraph" || token.type === "table" || token.wide) return spaced;
  const fence = token.type === "code" ? FENCE.exec(token.raw) : undefined;
  if (!fence) return false;
  const lines = token.raw.trimEnd().split("\n");
  return lines.length > 1 && closing(fence[2]!).test(lines.at(-1)!);
}

function closing(run: string): RegExp {
  return new RegExp(`^ {0,3}${run[0]}{${run.length},}[ \\t]*$`);
}
