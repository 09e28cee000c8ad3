/** Tokens in the form in which they are shown: one kind of node each, neighbouring pieces of text joined. */

import { decode } from "./entities.js";
import type { Formulas } from "./formulas.js";
import type { Loose, Token, Tokens } from "./lex.js";
import { linkTarget } from "./urls.js";

export interface Item {
  kind: string;
  raw: string;
  token: Loose;
  /** What a text says. */
  text: string;
  /** What it contains. */
  inner: () => Item[];
}

const NONE = () => [];
const BLOCKS = new Set(["blockquote", "list", "table", "code", "hr", "footnote", "draft"]);
const SPANS: Record<string, string> = { strong: "strong", em: "em", del: "del", codespan: "code", br: "br", image: "image", checkbox: "checkbox", reference: "reference" };

/** Return what is to be shown of blocks. */
export function blockItems(tokens: Token[], formulas: Formulas): Item[] {
  const items: Item[] = [];
  for (const token of joinTask(tokens)) {
    const item = blockItem(token as Loose, formulas);
    if (item) items.push(item);
  }
  return items;
}

/** The box of a tight list's task stands before its paragraph: put it inside. */
function joinTask(tokens: Token[]): Token[] {
  const [box, text] = tokens as Loose[];
  if (box?.type !== "checkbox") return tokens;
  const inner = text && ["text", "paragraph"].includes(text.type) ? text : undefined;
  const joined = { type: "paragraph", raw: box.raw + (inner?.raw ?? ""), tokens: [box, ...(inner?.tokens ?? [])] };
  return [joined as Token, ...tokens.slice(inner ? 2 : 1)];
}

function blockItem(token: Loose, formulas: Formulas): Item | undefined {
  const { type, raw } = token;
  const inner = () => inlineItems(token.tokens ?? [], formulas);
  if (type === "paragraph" || type === "text") return { kind: token.tokens?.[0]?.type === "checkbox" ? "task" : "p", raw, token, text: "", inner };
  if (type === "heading") return { kind: `h${Math.min(token.depth + 1, 6)}`, raw, token, text: "", inner };
  if (type === "html") return { kind: "raw", raw, token, text: raw.trimEnd(), inner: () => [textItem(raw.trimEnd(), token)] };
  if (type === "formula") return { kind: "display", raw, token, text: token.formula.source, inner: NONE };
  if (!BLOCKS.has(type)) return undefined;
  return { kind: type, raw, token, text: token.text ?? "", inner: () => blockItems(token.tokens ?? [], formulas) };
}

/** Return a list's items, and a table's row's cells. */
export function listItems(list: Tokens.List, formulas: Formulas): Item[] {
  return list.items.map((item) => ({ kind: "li", raw: item.raw, token: item as Loose, text: "", inner: () => blockItems(item.tokens, formulas) }));
}

export function rowItem(cells: Tokens.TableCell[], formulas: Formulas): Item {
  const raw = cells.map(({ text }) => text).join(" | ");
  const inner = () => cells.map((cell) => cellItem(cell, formulas));
  return { kind: "tr", raw, token: { type: "row", raw }, text: "", inner };
}

function cellItem(cell: Tokens.TableCell, formulas: Formulas): Item {
  const token = { ...cell, type: "cell", raw: cell.text } as Loose;
  return { kind: cell.header ? "th" : "td", raw: cell.text, token, text: "", inner: () => inlineItems(cell.tokens, formulas) };
}

export function textItem(text: string, token: Loose): Item {
  return { kind: "text", raw: text, token, text, inner: NONE };
}

/** Return what is to be shown of a text. */
export function inlineItems(tokens: Token[], formulas: Formulas): Item[] {
  const items: Item[] = [];
  for (const token of tokens as Loose[]) {
    const text = textOf(token, formulas);
    const last = items.at(-1);
    if (text === undefined) items.push(inlineItem(token, formulas));
    else if (last?.kind === "text") last.raw = last.text += text;
    else if (text) items.push(textItem(text, token));
  }
  return items;
}

function textOf(token: Loose, formulas: Formulas): string | undefined {
  if (token.type === "text" && !token.tokens) return decode(formulas.restore(token.text));
  if (token.type === "escape") return token.text;
  if (token.type === "html" && !/^<br\s*\/?>$/i.test(token.text)) return formulas.restore(token.text);
  return undefined;
}

function inlineItem(token: Loose, formulas: Formulas): Item {
  const { type, raw } = token;
  const inner = () => inlineItems(token.tokens ?? [], formulas);
  if (type === "formula") return { kind: "formula", raw: token.formula.source, token, text: token.formula.source, inner: NONE };
  if (type === "link") {
    const href = formulas.restore(token.autolink ? token.href : decode(token.href));
    return { kind: linkTarget(href) ? "a" : "span", raw, token, text: href, inner };
  }
  if (type === "image") return { kind: "image", raw, token, text: formulas.restore(decode(token.href)), inner };
  if (type === "codespan") {
    const text = formulas.restore(token.text);
    return { kind: "code", raw, token, text, inner: () => [textItem(text, token)] };
  }
  return { kind: SPANS[type] ?? (type === "html" ? "br" : "span"), raw, token, text: token.text ?? "", inner };
}

/** Return the words of items, as a picture's description has them. */
export function words(items: Item[]): string {
  return items.map(({ kind, text, inner }) => (kind === "text" || kind === "code" || kind === "formula" ? text : kind === "br" ? " " : words(inner()))).join("");
}
