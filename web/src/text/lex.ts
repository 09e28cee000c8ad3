/** Markdown to tokens: marked's lexer with formulas, footnotes, and bold text that Chinese punctuation does not break. */

import { getDefaults, type Hooks, Lexer, type Links, type Token, Tokenizer, type Tokens, type TokensList, type TokenizerExtensionFunction } from "marked";

import { CJK, IS_CJK } from "./cjk.js";
import { BLOCK, Formulas, OPEN_BLOCK, PLACE } from "./formulas.js";
import { DEEPEST, heal } from "./heal.js";

export type { Token, Tokens };

/** What every token has of those that the tokens' types name one by one. */
export type Loose = Tokens.Generic;

const FOOTNOTE = /^ {0,3}\[\^([^\]\s]{1,100})\]:[ \t]*([^\n]*(?:\n|$)(?:(?:[ \t]*\n)*(?: {2,}|\t)[^\n]+(?:\n|$)|[^\s#>*+|`~[\d-][^\n]*(?:\n|$))*)/;
const REFERENCE = /^\[\^([^\]\s]{1,100})\]/;
const STARTS = /(?:\n[ \t]*)*\n {0,3}(?:\$\$|\\\[|\[\^[^\]\s]+\]:)/;
const LABEL = /\[((?:\\.|[^[\]\\]){1,999})\]/g;

const AFTER_RUN = new RegExp(`^\\*+[${CJK}]`, "u");
// A sign beside asterisks is to count as a letter if it, or what stands on their other side, is written without spaces.
const BEFORE = new RegExp(String.raw`(?![*_~])[\p{P}\p{S}](?=\*+[${CJK}])|(?=[${CJK}])[\p{P}\p{S}](?=\*+\S)`, "gu");
const AFTER = new RegExp(String.raw`(?<=[${CJK}]\*+)(?![*_~])[\p{P}\p{S}]|(?<=\S\*+)(?=[${CJK}])[\p{P}\p{S}]`, "gu");

/** So many characters of a paragraph are read in search of ends that marks do not have; what opens after that is text. */
const SEARCHED = 100_000;
const MARK = /^([*_~])\1*(?!\1)\S/;

/** A table of more columns is shown as it is written. */
const WIDE = 100;

class Rules extends Tokenizer {
  searched = 0;
  /** Targets of links that have been seen in this text first. */
  fresh: string[] = [];

  override def(src: string): Tokens.Def | undefined {
    const found = super.def(src);
    if (found && !this.lexer.tokens.links[found.tag]) this.fresh.push(found.tag);
    return found;
  }

  override table(src: string): Tokens.Table | undefined {
    const [all, , line] = this.rules.block.table.exec(src) ?? [];
    if (!line || line.split("|").length <= WIDE + 2) return short(super.table(src));
    const raw = all!.replace(/\n+$/, "\n");
    return { type: "code", raw, text: raw, wide: true } as Loose as Tokens.Table;
  }

  /** A line under a formula or a note does not make a heading of the paragraph above them. */
  override lheading(src: string): Tokens.Heading | undefined {
    const text = this.rules.block.lheading.exec(src)?.[0] ?? "";
    const inner = text.slice(STARTS.exec(text)?.index ?? text.length).trimStart();
    return BLOCK.test(inner) || FOOTNOTE.test(inner) ? undefined : super.lheading(src);
  }

  override emStrong(src: string, masked: string, before = ""): Tokens.Em | Tokens.Strong | undefined {
    const neutral = src.startsWith("*") && (IS_CJK.test(before) || AFTER_RUN.test(src));
    return this.#search(src, () => super.emStrong(src, masked, neutral ? " " : before));
  }

  /** One tilde is a range, as in 20~25; two strike out. */
  override del(src: string, masked: string, before = ""): Tokens.Del | undefined {
    return src.startsWith("~~") ? this.#search(src, () => super.del(src, masked, before)) : undefined;
  }

  #search<Found>(src: string, find: () => Found | undefined): Found | undefined {
    if (!MARK.test(src) || this.searched > SEARCHED) return undefined;
    const found = find();
    if (!found) this.searched += src.length;
    return found;
  }
}

class Bounded extends Lexer {
  #depth = 0;
  readonly #rules: Rules;

  constructor(options: object, rules: Rules) {
    super({ ...getDefaults(), ...options, tokenizer: rules } as never);
    const { inline } = rules.rules;
    rules.rules = { ...rules.rules, inline: { ...inline, text: shortNames(inline.text), url: shortNames(inline.url) } };
    this.#rules = rules;
  }

  /** Read the text of a block. */
  read(src: string, tokens: Token[]): void {
    this.#rules.searched = 0;
    this.inlineTokens(src, tokens);
  }

  override blockTokens(src: string, tokens: Token[] = [], more?: boolean): TokensList {
    return this.#within(src, tokens, () => super.blockTokens(src, tokens, more)) as TokensList;
  }

  override inlineTokens(src: string, tokens: Token[] = []): Token[] {
    return this.#within(src, tokens, () => super.inlineTokens(src, tokens));
  }

  /** What stands too deep is shown as it is written. */
  #within(raw: string, tokens: Token[], read: () => Token[]): Token[] {
    if (this.#depth++ > DEEPEST) tokens.push({ type: "escape", raw, text: raw } as Token);
    else read();
    this.#depth--;
    return tokens;
  }
}

/** Leave out the cells at a row's end that have no text: many short rows would cost as much as all columns. */
function short(table: Tokens.Table | undefined): Tokens.Table | undefined {
  for (const row of table?.rows ?? []) row.length = row.findLastIndex(({ text }) => text) + 1 || 1;
  return table;
}

/** At every letter it is asked whether an address of mail begins: what stands before its @ is at most 64 letters. */
function shortNames(rule: RegExp): RegExp {
  return new RegExp(rule.source.replace(/\]\+(?=@|\(@\))/g, "]{1,64}"), rule.flags);
}

/** Let signs count as letters where Chinese, Japanese or Korean stands at the asterisks. */
function mask(text: string): string {
  if (!text.includes("*")) return text;
  const letters = (sign: string) => "a".repeat(sign.length);
  return text.replace(BEFORE, letters).replace(AFTER, letters);
}

interface Leaf {
  src: string;
  tokens: Token[];
}

/** Return the tokens in which the text goes on that is being written. */
function lastLeaf(tokens: Token[]): Token[] | undefined {
  const last = tokens.findLast(({ type }) => type !== "space") as Loose | undefined;
  if (!last) return undefined;
  if (last.type === "table") {
    const row = (last.rows.at(-1) ?? last.header) as Tokens.TableCell[];
    return row.findLast(({ text }) => text)?.tokens;
  }
  const inner = last.type === "list" ? last.items.at(-1)?.tokens : last.tokens;
  if (!inner) return undefined;
  return ["blockquote", "list", "footnote"].includes(last.type) ? lastLeaf(inner) : inner;
}

/** Visit tokens and all that are in them. */
function walk(tokens: Token[], visit: (tokens: Token[]) => void): void {
  visit(tokens);
  for (const token of tokens as Loose[]) {
    if (token.type === "list") for (const item of token.items) walk(item.tokens, visit);
    else if (token.type === "table") for (const row of [token.header, ...token.rows]) for (const cell of row) walk(cell.tokens, visit);
    else if (token.tokens) walk(token.tokens, visit);
  }
}

/** The Markdown of one answer: what its blocks share are the targets of links, and the formulas. */
export class Markdown {
  readonly links: Links = Object.create(null);
  readonly formulas: Formulas;
  /** Whether the text that is still being written was shown as it is, but for what closes at its end. */
  plain = false;
  /** Links whose targets have become known, until somebody asks. */
  fresh: string[] = [];
  readonly #rules = new Rules();
  readonly #lexer: Bounded;
  #open = false;

  constructor(dollars = false) {
    this.formulas = new Formulas(dollars);
    const extensions = {
      renderers: {},
      childTokens: {},
      block: [(src: string) => this.#formula(src), this.#footnote()],
      inline: [(src: string) => this.#mark(src)],
      // A paragraph ends at an empty line anyway.
      startBlock: [(src: string) => this.#lexer.state.top && STARTS.exec(src.split(/\n *\n/, 1)[0]!)?.index],
      startInline: [(src: string) => src.indexOf("\uFDD0")],
    } as unknown as { block: TokenizerExtensionFunction[] };
    const hooks = { emStrongMask: mask } as unknown as Hooks;
    this.#lexer = new Bounded({ hooks, extensions }, this.#rules);
    this.#lexer.tokens.links = this.links;
  }

  /** Return the blocks of a text, which may go on; the text in those that are finished is read by `inline`. */
  blocks(text: string, open = false): { tokens: Token[]; leaves: Leaf[] } {
    this.#open = open;
    const read = this.#lex(text);
    this.#forget();
    return read;
  }

  /** Read the text in those blocks, which are finished. Return the labels in it that no target has been seen for. */
  inline(tokens: Token[], leaves: Leaf[]): Set<string> {
    const wanted = new Set<Token[]>();
    walk(tokens, (inner) => {
      wanted.add(inner);
      for (const { type, tag, href, title } of inner as Loose[])
        if (type === "def" && !this.links[tag]) {
          this.links[tag] = { href, title };
          this.fresh.push(tag);
        }
    });
    const labels = new Set<string>();
    for (const leaf of leaves) {
      if (!wanted.has(leaf.tokens)) continue;
      for (const [, label = ""] of leaf.src.matchAll(LABEL)) if (!(key(label) in this.links)) labels.add(key(label));
      this.#read(leaf);
    }
    return labels;
  }

  /** Return the tokens of a finished text, and the labels in it that no target has been seen for. */
  read(text: string): { tokens: Token[]; labels: Set<string> } {
    const { tokens, leaves } = this.blocks(text);
    return { tokens, labels: this.inline(tokens, leaves) };
  }

  /** Return the tokens of a text that is still being written, with what it has opened closed. */
  open(text: string): Token[] {
    this.#open = true;
    const { tokens, leaves } = this.#lex(text);
    const last = lastLeaf(tokens);
    this.plain = false;
    for (const leaf of leaves) {
      leaf.src = this.formulas.hide(leaf.src);
      if (leaf.tokens === last) {
        const healed = heal(leaf.src, (label) => label.startsWith("^") || key(label) in this.links);
        this.plain = healed.plain;
        leaf.src = healed.text;
      }
      this.#read(leaf);
    }
    this.#forget();
    return tokens;
  }

  /** The targets in a text that may go on are not known yet. */
  #forget(): void {
    for (const tag of this.#rules.fresh.splice(0)) delete this.links[tag];
  }

  #lex(text: string): { tokens: Token[]; leaves: Leaf[] } {
    const lexer = this.#lexer;
    lexer.state = { inLink: false, inRawBlock: false, linkEmitted: false, linkParenPossible: true, top: true } as typeof lexer.state;
    lexer.inlineQueue = [];
    const tokens = lexer.blockTokens(text, []);
    return { tokens, leaves: lexer.inlineQueue as Leaf[] };
  }

  #read(leaf: Leaf): void {
    this.#lexer.state.inLink = this.#lexer.state.inRawBlock = false;
    this.#lexer.read(this.formulas.hide(leaf.src), leaf.tokens);
  }

  #formula(src: string): Tokens.Generic | undefined {
    const found = BLOCK.exec(src);
    const tex = (found?.groups?.double ?? found?.groups?.square)?.trim();
    if (found && tex) return { type: "formula", raw: found[0], formula: { tex, display: true, source: found[0].trim() } };
    const begun = this.#open && OPEN_BLOCK.exec(src);
    return begun ? { type: "draft", raw: src, text: begun.groups?.tex?.replace(/[$\\]+$/, "").trim() ?? "" } : undefined;
  }

  /** In a note there is no other one: it is text. */
  #footnote(): TokenizerExtensionFunction {
    let inside = false;
    return function (src) {
      const [raw, label, text] = FOOTNOTE.exec(src) ?? [];
      if (!raw) return undefined;
      if (inside) return { type: "escape", raw, text: raw };
      inside = true;
      const tokens = this.lexer.blockTokens(text!.replace(/^(?: {1,4}|\t)/gm, ""), []);
      inside = false;
      return { type: "footnote", raw, label, tokens };
    };
  }

  #mark(src: string): Tokens.Generic | undefined {
    const formula = PLACE.exec(src);
    if (formula) return { type: "formula", raw: formula[0], formula: this.formulas.at(Number(formula[1])) };
    const reference = REFERENCE.exec(src);
    return reference ? { type: "reference", raw: reference[0], label: reference[1] } : undefined;
  }
}

/** Return a label as marked compares it. */
function key(label: string): string {
  return label.trim().replace(/\s+/g, " ").toLowerCase().toUpperCase().toLowerCase();
}
