/** The shape of a text: what marked's HTML and our nodes have in common. */

import { Marked } from "marked";

import { decode } from "../../src/text/entities.js";
import { linkTarget, picture } from "../../src/text/urls.js";

const escaped = (text: string) => text.replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]!);

// Raw HTML is text to us, in an element of its own, and a line break is the only tag that we know.
const marked = new Marked({
  renderer: {
    html(token) {
      if (token.block) return `<p data-raw><bdi>${escaped(token.raw.trimEnd())}</bdi></p>`;
      return /^<br\s*\/?>$/i.test(token.text) ? "<br>" : `<bdi>${escaped(token.text)}</bdi>`;
    },
  },
});

/** Return the shape of what marked makes of a text. */
export function expected(text: string): string {
  const element = document.createElement("div");
  element.innerHTML = marked.parse(text, { async: false });
  return shape(element);
}

/** Return the shape of an answer. */
export function shape(root: Element): string {
  return [...root.childNodes].map((node) => shapeOf(node)).join("").replace(/\n+/g, "\n").trim();
}

function shapeOf(node: Node): string {
  if (node instanceof Text) return blank(node) ? "" : node.data;
  if (!(node instanceof Element)) return "";
  const name = node.localName;
  if (name === "td" && missing(node)) return "";
  if (node.matches(".host, .bar, .notes, thead:empty, tbody:empty")) return "";
  if (name === "pre") return `\n<pre>${node.textContent!.replace(/\n$/, "")}</pre>\n`;
  if (name === "code") return `<code>${node.textContent}</code>`;
  if (name === "br" || name === "hr") return `<${name}>`;
  if (name === "input") return `<box ${(node as HTMLInputElement).checked}>`;
  if (name === "img" || node.matches("button.picture, span.picture")) return picture_(node);
  const inner = [...node.childNodes].map(shapeOf).join("").trim();
  if (name === "a") return link(node, inner);
  if (/^(?:div|span|label|colgroup)$/.test(name)) return [...node.childNodes].map(shapeOf).join("");
  if (name === "p" && node.parentElement?.localName === "li") return `${inner}\n`;
  if (/^(?:strong|em|del|sup|bdi)$/.test(name)) return `<${name}>${[...node.childNodes].map(shapeOf).join("")}</${name}>`;
  return `\n<${heading(node)}${attributes(node)}>${inner.replace(/\n+/g, "\n")}</>\n`;
}

function blank(node: Text): boolean {
  if (node.data.trim()) return false;
  const parent = node.parentElement!;
  if (/^(?:ul|ol|table|thead|tbody|tr|blockquote|div)$/.test(parent.localName)) return true;
  return parent.localName === "li" && node.data.includes("\n");
}

/** Whether a cell is one of those at a row's end that have nothing in them: marked makes them, we do not. */
function missing(cell: Element): boolean {
  const { nextElementSibling: next } = cell;
  return !!cell.previousElementSibling && !cell.hasChildNodes() && (!next || missing(next));
}

function link(node: Element, inner: string): string {
  const url = linkTarget(decode(node.getAttribute("href") ?? ""));
  return url ? `<a ${url.href} ${node.getAttribute("title") ?? ""}>${inner}</a>` : inner;
}

function picture_(node: Element): string {
  const src = node.getAttribute("data-src") ?? node.getAttribute("src");
  const alt = node.getAttribute("data-alt") ?? node.getAttribute("alt") ?? node.textContent;
  return src && picture(src, document.baseURI) ? `<img ${new URL(src, document.baseURI).href} ${alt}>` : `${alt}`;
}

/** Our headings are one lower: the page has the first. */
function heading(node: Element): string {
  const level = /^h(\d)$/.exec(node.localName)?.[1];
  if (!level) return node.localName;
  return `h${node.hasAttribute("dir") ? level : Math.min(Number(level) + 1, 6)}`;
}

function attributes(node: Element): string {
  const start = node.localName === "ol" && node.getAttribute("start");
  return `${start ? ` ${start}` : ""}${node.getAttribute("align") ? ` ${node.getAttribute("align")}` : ""}`;
}
