/** The colours of code, by highlight.js: its core at first use, each language when it is named. */

import hljs from "highlight.js/lib/core";
import type { LanguageFn } from "highlight.js";

type Load = () => Promise<{ default: LanguageFn }>;

// Names that people write, the language's own name first.
const LANGUAGES: [string, Load][] = [
  ["bash sh shell zsh", () => import("highlight.js/lib/languages/bash")],
  ["c h", () => import("highlight.js/lib/languages/c")],
  ["cpp c++ cc hpp cxx", () => import("highlight.js/lib/languages/cpp")],
  ["csharp cs c#", () => import("highlight.js/lib/languages/csharp")],
  ["css", () => import("highlight.js/lib/languages/css")],
  ["dart", () => import("highlight.js/lib/languages/dart")],
  ["diff patch", () => import("highlight.js/lib/languages/diff")],
  ["dockerfile docker", () => import("highlight.js/lib/languages/dockerfile")],
  ["elixir ex exs", () => import("highlight.js/lib/languages/elixir")],
  ["go golang", () => import("highlight.js/lib/languages/go")],
  ["graphql gql", () => import("highlight.js/lib/languages/graphql")],
  ["haskell hs", () => import("highlight.js/lib/languages/haskell")],
  ["http", () => import("highlight.js/lib/languages/http")],
  ["ini toml conf", () => import("highlight.js/lib/languages/ini")],
  ["java", () => import("highlight.js/lib/languages/java")],
  ["javascript js jsx mjs cjs node", () => import("highlight.js/lib/languages/javascript")],
  ["json jsonc json5", () => import("highlight.js/lib/languages/json")],
  ["julia jl", () => import("highlight.js/lib/languages/julia")],
  ["kotlin kt", () => import("highlight.js/lib/languages/kotlin")],
  ["latex tex", () => import("highlight.js/lib/languages/latex")],
  ["lua", () => import("highlight.js/lib/languages/lua")],
  ["makefile make", () => import("highlight.js/lib/languages/makefile")],
  ["markdown md", () => import("highlight.js/lib/languages/markdown")],
  ["matlab", () => import("highlight.js/lib/languages/matlab")],
  ["nginx", () => import("highlight.js/lib/languages/nginx")],
  ["objectivec objc", () => import("highlight.js/lib/languages/objectivec")],
  ["perl pl", () => import("highlight.js/lib/languages/perl")],
  ["php", () => import("highlight.js/lib/languages/php")],
  ["powershell ps1 pwsh", () => import("highlight.js/lib/languages/powershell")],
  ["python py py3 python3", () => import("highlight.js/lib/languages/python")],
  ["r", () => import("highlight.js/lib/languages/r")],
  ["ruby rb", () => import("highlight.js/lib/languages/ruby")],
  ["rust rs", () => import("highlight.js/lib/languages/rust")],
  ["scala", () => import("highlight.js/lib/languages/scala")],
  ["scss sass", () => import("highlight.js/lib/languages/scss")],
  ["sql mysql postgresql postgres sqlite", () => import("highlight.js/lib/languages/sql")],
  ["swift", () => import("highlight.js/lib/languages/swift")],
  ["typescript ts tsx", () => import("highlight.js/lib/languages/typescript")],
  ["xml html svg xhtml vue", () => import("highlight.js/lib/languages/xml")],
  ["yaml yml", () => import("highlight.js/lib/languages/yaml")],
];
/** Languages that contain others. */
const WITH: Record<string, string[]> = { xml: ["css", "javascript"], php: ["xml"], markdown: ["xml"], dockerfile: ["bash"] };

const KNOWN = new Map(LANGUAGES.flatMap(([names, load]) => {
  const [own = "", ...others] = names.split(" ");
  return [own, ...others].map((name) => [name, { own, load }] as const);
}));

/** What is coloured: a text in pieces of so many lines. */
interface Painted {
  readonly text: string;
  readonly language: string;
  readonly pieces: Element[];
}

/** Colour a block of code when nothing else is to be done. */
export async function paint(box: Painted, lines: number): Promise<void> {
  const { text } = box;
  await idle();
  const html = await colours(text, box.language);
  if (html === undefined || box.text !== text) return;
  let deadline = await idle();
  let index = 0;
  for (const piece of nodes(html, lines)) {
    if (performance.now() > deadline) deadline = await idle();
    const place = box.pieces[index++];
    // What a person has selected is left as it is.
    if (place && !selected(place)) place.replaceChildren(piece);
  }
}

function selected(place: Element): boolean {
  const selection = document.getSelection();
  return !!selection && !selection.isCollapsed && selection.containsNode(place, true);
}

/** Wait until nothing else is to be done; return the time until which there is some. */
function idle(): Promise<number> {
  return new Promise((resolve) => {
    const begin = () => resolve(performance.now() + 8);
    if (typeof requestIdleCallback === "function") requestIdleCallback(begin, { timeout: 1000 });
    else setTimeout(begin);
  });
}

/** Return code as highlight.js marks it, or nothing if the language is not known. */
async function colours(code: string, language: string): Promise<string | undefined> {
  const known = KNOWN.get(language.toLowerCase());
  if (!known || !(await bring(known.own))) return undefined;
  return hljs.highlight(code, { language: known.own, ignoreIllegals: true }).value;
}

async function bring(name: string): Promise<boolean> {
  if (hljs.getLanguage(name)) return true;
  try {
    hljs.registerLanguage(name, (await KNOWN.get(name)!.load()).default);
    await Promise.all((WITH[name] ?? []).map(bring));
  } catch {
    return false; // Without a network code has no colours.
  }
  return true;
}

const ENTITIES: Record<string, string> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'" };
const PART = /<span class="([\w\s.-]*)">|<\/span>|[^<]+/g;

/**
 * Read what highlight.js wrote into nodes, so many lines at a time. Its output has only spans with a class, and
 * five entities; anything else is text.
 */
function* nodes(html: string, lines: number): Generator<DocumentFragment> {
  let piece = document.createDocumentFragment();
  let into: Node = piece;
  const open: string[] = [];
  const enter = (name: string) => {
    const span = document.createElement("span");
    span.className = name;
    into = into.appendChild(span);
  };
  let left = lines;
  for (const [part, name] of html.matchAll(PART)) {
    if (name !== undefined) {
      open.push(name);
      enter(name);
    } else if (part === "</span>") {
      open.pop();
      into = into.parentNode ?? piece;
    } else {
      const text = part.replace(/&(?:amp|lt|gt|quot|#x27);/g, (entity) => ENTITIES[entity]!);
      for (const line of text.match(/[^\n]*\n|[^\n]+/g) ?? []) {
        if (!left) {
          yield piece;
          left = lines;
          into = piece = document.createDocumentFragment();
          open.forEach(enter);
        }
        into.appendChild(document.createTextNode(line));
        if (line.endsWith("\n")) left--;
      }
    }
  }
  piece.normalize();
  yield piece;
}
