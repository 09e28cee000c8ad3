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
const itemOf = (kind: string, token: Loose, text: string, inner: () => Item[] = NONE, raw: string = token.raw): Item => ({ kind, raw, token, text, inner });
const BLOCKS = new Set(["blockquote", "list", "table", "code", "hr", "footnote", "draft"]);
const SPANS = new Set(["strong", "em", "del", "br", "image", "checkbox", "reference"]);

/** A text of more pieces (formulas, links, the words between them) is shown in runs, each with lines of its own. */
const LONG = 1000;
/** So many are in a run: a text is laid out whole when anything in it changes. */
const RUN = 250;

/** Return what is to be shown of blocks. */
export function blockItems(tokens: Token[], formulas: Formulas): Item[] {
  return joinTask(tokens).flatMap((token) => blockItem(token as Loose, formulas) ?? []);
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
  if (type === "paragraph" || type === "text") return itemOf(token.tokens?.[0]?.type === "checkbox" ? "task" : "p", token, "", inner);
  if (type === "heading") return itemOf(`h${Math.min(token.depth + 1, 6)}`, token, "", inner);
  if (type === "html" || type === "escape") return itemOf("raw", token, "", () => [(type === "html" ? htmlItem : textItem)(raw.trimEnd(), token)]);
  if (type === "formula") return itemOf("display", token, token.formula.source);
  if (!BLOCKS.has(type)) return undefined;
  return itemOf(type, token, token.text ?? "", () => blockItems(token.tokens ?? [], formulas));
}

/** Return a list's items, and a table's row's cells. */
export function listItems(list: Tokens.List, formulas: Formulas): Item[] {
  return list.items.map((item) => itemOf("li", item as Loose, "", () => blockItems(item.tokens, formulas)));
}

export function rowItem(cells: Tokens.TableCell[], formulas: Formulas): Item {
  const raw = cells.map(({ text }) => `|${text}`).join("");
  return itemOf("tr", { type: "row", raw }, "", () => cells.map((cell) => cellItem(cell, formulas)));
}

function cellItem(cell: Tokens.TableCell, formulas: Formulas): Item {
  const token = { ...cell, type: "cell", raw: cell.text };
  return itemOf(cell.header ? "th" : "td", token, "", () => inlineItems(cell.tokens, formulas));
}

function textItem(text: string, token: Loose): Item {
  return itemOf("text", token, text, NONE, text);
}

/** HTML is shown as it is written, in an element of its own: a reader may want it hidden. */
function htmlItem(text: string, token: Loose): Item {
  return itemOf("bdi", token, text, () => [textItem(text, token)], text);
}

/** Return what is to be shown of a text; of very many formulas, links or the like, in runs. */
function inlineItems(tokens: Token[], formulas: Formulas): Item[] {
  const items = spanItems(tokens, formulas);
  return items.length > LONG ? items.flatMap((_, at) => (at % RUN ? [] : runItem(items.slice(at, at + RUN)))) : items;
}

function runItem(items: Item[]): Item {
  const raw = items.map(({ raw }) => raw).join("");
  return itemOf("run", { type: "run", raw }, "", () => items);
}

function spanItems(tokens: Token[], formulas: Formulas): Item[] {
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
  if (token.type === "escape") return formulas.restore(token.text);
  return undefined;
}

function inlineItem(token: Loose, formulas: Formulas): Item {
  const { type, raw } = token;
  const inner = () => inlineItems(token.tokens ?? [], formulas);
  if (type === "formula") return itemOf("formula", token, token.formula.source, NONE, token.formula.source);
  if (type === "link") {
    const href = formulas.restore(token.autolink ? token.href : decode(token.href));
    return itemOf(linkTarget(href) ? "a" : "span", token, href, inner);
  }
  if (type === "image") return itemOf("image", token, formulas.restore(decode(token.href)), inner);
  if (type === "codespan") {
    const text = formulas.restore(token.text);
    return itemOf("code", token, text, () => [textItem(text, token)]);
  }
  if (type === "html") return /^<br\s*\/?>$/i.test(raw) ? itemOf("br", token, "") : htmlItem(formulas.restore(raw), token);
  return itemOf(SPANS.has(type) ? type : "span", token, token.text ?? "", inner);
}

/** Return the words of items, as a picture's description has them: those that are seen also where HTML is hidden. */
export function words(items: Item[]): string {
  return items.map(({ kind, text, inner }) => (kind === "text" || kind === "formula" ? text : kind === "br" ? " " : kind === "bdi" ? "" : words(inner()))).join("");
}
