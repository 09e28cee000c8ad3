/** Text that is still being written: hide what cannot be told yet, and close what has been opened. */

import { IS_CJK } from "./cjk.js";

/** So many blocks, and so many marks, may stand in each other; what is in the last of them is text. Each takes room on the stack. */
export const DEEPEST = 16;

interface Healed {
  text: string;
  /** Whether nothing was taken away, so that more letters can simply be added to what is shown. */
  plain: boolean;
}

interface Opened {
  sign: string;
  count: number;
  at: number;
}

// What may become a mark with the next character.
const UNDECIDED = /(?:[*_~]+|`+|\\|!\[?|\[(?:\^[^\]\s]*)?|<(?:[\w/!?][^\s<>]*)?|&[#\w]{0,12}|\$+)$/;
const MARKS = 8;
/** It is in so many characters at the end; of marks that are open, and of targets, so many are looked at: more are text. */
const MOST = 500;
const SPACE = /\s/;
const SIGN = /[\p{P}\p{S}]/u;
const WORD = /[\p{L}\p{N}]/u;
const TAG = /<[^<>\s][^<>]*>/y;
const TARGET = /\(\s{0,40}(?:<[^<>\n]*>|(?:\\.|[^\s()\\]|\((?:\\.|[^\s()\\]|\([^\s()]*\))*\))*)(?:\s+(?:"[^"]*"|'[^']*'|\([^()]*\)))?\s*\)/y;

/** Return a block's text in a form that can be shown; `known` says whether there is a target for a label. */
export function heal(text: string, known: (label: string) => boolean): Healed {
  const scan = new Scan(strip(text), known);
  const healed = scan.run();
  const body = text.trimEnd();
  return { text: healed, plain: healed.startsWith(text) && (healed === text || body === text) && !scan.code };
}

/** A mark that closes what is open is put back by what closes it. More of them in a row are no marks. */
function strip(text: string): string {
  let shown = text;
  for (let marks = 0; marks < MARKS; marks++) {
    const end = shown.slice(-MOST);
    const at = end.search(UNDECIDED);
    if (at < 0) break;
    shown = shown.slice(0, at - end.length);
  }
  return shown;
}

class Scan {
  readonly #opened: Opened[] = [];
  readonly #brackets: { at: number; image: boolean; depth: number }[] = [];
  /** How many targets that are not closed have been looked at. */
  #targets = 0;
  #text: string;
  /** Whether the end is in code. */
  code = false;

  constructor(text: string, readonly known: (label: string) => boolean) {
    this.#text = text;
  }

  run(): string {
    for (let at = 0; at < this.#text.length; ) at = this.#step(at);
    // A bracket that has not been closed may be the text of a link.
    const picture = this.#brackets.findLast(({ image }) => image);
    if (picture) return this.#close(this.#text.slice(0, picture.at), picture.depth);
    const open = new Set(this.#brackets.map(({ at }) => at));
    const inWord = (before = "") => WORD.test(before) && !IS_CJK.test(before);
    return this.#close(this.#text.replace(/\[/g, (sign, at) => (open.has(at) && !inWord(this.#text[at - 1]) ? "" : sign)));
  }

  #step(at: number): number {
    const sign = this.#text[at]!;
    if ("\\$".includes(sign)) return this.#formula(at);
    if (sign === "`") return this.#ticks(at);
    if (sign === "<") return this.#skip(TAG, at) || at + 1;
    if (sign === "[") {
      this.#brackets.push({ at: this.#text[at - 1] === "!" ? at - 1 : at, image: this.#text[at - 1] === "!", depth: this.#opened.length });
      return at + 1;
    }
    if (sign === "]") return this.#bracket(at);
    return "*_~".includes(sign) ? this.#run(at, sign) : at + 1;
  }

  #skip(what: RegExp, at: number): number {
    what.lastIndex = at;
    return what.test(this.#text) ? what.lastIndex : 0;
  }

  #ticks(at: number): number {
    const after = this.#skip(/`+/y, at);
    const length = after - at;
    const close = new RegExp(`(?<!\`)\`{${length}}(?!\`)`, "g");
    close.lastIndex = after;
    if (close.test(this.#text)) return close.lastIndex;
    const rest = this.#text.slice(after).replace(/(?<![`\s])[`\s]+$/, "");
    this.code = true;
    this.#text = this.#text.slice(0, rest ? after : at) + rest + (rest && "`".repeat(length));
    return this.#text.length;
  }

  /** A formula without its end is shown as code. */
  #formula(at: number): number {
    const begin = /^(?:\$\$|\\[([])\s*/.exec(this.#text.slice(at, at + 9))?.[0];
    if (!begin) return at + (this.#text[at] === "\\" ? 2 : 1);
    const tex = this.#text.slice(at + begin.length).replace(/`/g, "'").trimEnd();
    this.code = true;
    this.#text = this.#text.slice(0, at) + (tex && `\`${tex}\``);
    return this.#text.length;
  }

  #bracket(at: number): number {
    const open = this.#brackets.pop();
    if (!open) return at + 1;
    const start = open.at + (open.image ? 2 : 1);
    const label = this.#text.slice(start, at);
    const next = this.#text[at + 1];
    if (next === "(") {
      const after = this.#skip(TARGET, at + 1);
      if (after) return this.#leave(open.depth, after);
      // What can no longer become a target is text.
      if (++this.#targets > MOST || !/^\((?:\s{0,40}<?[^\s<>]*>?(?:\s+(?:["'(][^\n]*)?)?)?$/.test(this.#text.slice(at + 1))) return this.#leave(open.depth, at + 1);
    } else if (next === "[" && !this.#text.includes("]", at + 2)) {
      if (this.#text.includes("\n\n", at)) return at + 1;
    } else if (next !== undefined || this.known(label) || /^[ xX]?$/.test(label)) {
      return this.#leave(open.depth, at + 1);
    }
    this.#text = this.#text.slice(0, open.at) + (open.image ? "" : label);
    return this.#text.length;
  }

  /** What was opened in a bracket cannot be closed after it. */
  #leave(depth: number, at: number): number {
    this.#opened.length = Math.min(this.#opened.length, depth);
    return at;
  }

  #run(at: number, sign: string): number {
    let end = at;
    while (this.#text[end] === sign) end++;
    if (sign === "~" && end - at !== 2) return end;
    const before = this.#text[at - 1] ?? " ";
    const after = this.#text[end] ?? " ";
    const free = sign === "*" && (IS_CJK.test(before) || IS_CJK.test(after));
    const left = !SPACE.test(after) && (free || !SIGN.test(after) || SPACE.test(before) || SIGN.test(before));
    const right = !SPACE.test(before) && (free || !SIGN.test(before) || SPACE.test(after) || SIGN.test(after));
    const word = sign === "_" && WORD.test(before) && WORD.test(after);
    let count = end - at;
    if (right && !word) count = this.#match(sign, count);
    if (left && !word && count && this.#opened.length < MOST) this.#opened.push({ sign, count, at });
    return end;
  }

  /** Close as much as a run of signs closes; return how many are left. */
  #match(sign: string, count: number): number {
    while (count) {
      const index = this.#opened.findLastIndex((opened) => opened.sign === sign);
      if (index < 0) break;
      const opened = this.#opened[index]!;
      const used = Math.min(count, opened.count, 2);
      this.#opened.length = index + 1;
      opened.count -= used;
      count -= used;
      if (!opened.count) this.#opened.pop();
    }
    return count;
  }

  #close(text: string, depth = this.#opened.length): string {
    const opened = this.#opened.slice(0, depth).filter(({ at }) => at < text.length);
    if (!opened.length) return text;
    return text.trimEnd() + opened.slice(-DEEPEST).reverse().map(({ sign, count }) => sign.repeat(count)).join("");
  }
}

// A line's beginning that may become a mark, a fence's line that is not whole, and a target's.
const CONTAINERS = /^(?:[ \t]*(?:>|[-*+](?=[ \t])|\d{1,9}[.)](?=[ \t])))*[ \t]*/;
const LINE = /^(?:[-*+_=~`#>$|:\\<![\] \t]*|\d{1,9}[.)]?|`{3,}[^`]*|~{3,}.*|\[[ xX]\]?[ \t]*|\\[[(]?|\[(?!\^)[^\]\n]+\](?::.*)?|\[\^[^\]\n]*\]?:?[ \t]*)$/;

/** Return a text without its last line if that may still become anything. */
export function hold(text: string): string {
  const start = text.lastIndexOf("\n") + 1;
  const line = text.slice(start);
  return holdHeader(line.trim() && LINE.test(line.replace(CONTAINERS, "")) ? text.slice(0, start) : text);
}

/** A line that may be a table's header waits for the line under it. */
function holdHeader(text: string): string {
  const body = text.endsWith("\n") ? text.slice(0, -1) : text;
  const start = body.lastIndexOf("\n") + 1;
  if (!/^ {0,3}\|/.test(body.slice(start))) return text;
  const above = body.slice(body.lastIndexOf("\n", start - 2) + 1, Math.max(start - 1, 0));
  return start && /^ {0,3}\|/.test(above) ? text : text.slice(0, start);
}
