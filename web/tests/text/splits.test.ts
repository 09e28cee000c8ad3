/** However a text is cut, it becomes the same: blocks of all kinds in any order, in pieces of any length. */

import { expect, it } from "vitest";

import { begin, streamed, whole } from "../support/answers.js";
import { expected, shape } from "../support/shape.js";

const PARTS = [
  "word ", "文字，", "**bold** ", "*so* ", "**", "_", "`code` ", "`", "~~", "[a](https://a.test) ", "[l] ", "[l][r] ", "![p](https://b.test/p.png) ", "[^1] ",
  "\\(x\\) ", "$$y$$ ", "<b> ", "&amp; ", "https://c.test/d ", "\n", "\n", "\n\n", "\n\n", "- ", "\n- item\n", "\n  - inner\n", "\n1. one\n2. two\n", "  ", "    ", "> ", "\n> quoted\n",
  "# ", "\n## head\n", "\n---\n", "\n===\n", "***\n", "\n```js\n", "\n```\n", "~~~\n", "code()\n", "\n| a | b |\n|---|---|\n", "| 1 | **2** |\n", "|", "\n$$\nx = 1\n$$\n", "\n\\[\n", "\\]\n",
  "\n[l]: https://d.test \"t\"\n", "\n[r]: https://e.test\n", "\n[^1]: note\n", "- [ ] task\n", "- [x] ", "<div>\n", "</div>\n", "<!-- c -->\n", "+ ", "10) ", "\\", "!", "  \n", "$",
];

/** Numbers that look random and are always the same. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

// The numbers in notes' ids count what was there.
const html = (element: HTMLElement) => {
  element.normalize();
  return element.innerHTML.replace(/notes-\d+(?:-\d+)*/g, "notes");
};

/** Return texts of some of those parts, and a number to cut each with. */
function* texts(count: number, parts: string[]): Generator<[string, (below: number) => number]> {
  for (let seed = 0; seed < count; seed++) {
    const next = numbers(seed);
    yield [Array.from({ length: 2 + next(14) }, () => parts[next(parts.length)]).join(""), next];
  }
}

it("looks the same in any pieces as in one", () => {
  const found: string[] = [];
  for (const [text, next] of texts(700, PARTS)) {
    const longest = 1 + next(12);
    const pieces: string[] = [];
    for (let at = 0; at < text.length; at += pieces.at(-1)!.length) pieces.push(text.slice(at, at + 1 + next(longest)));
    if (html(streamed(pieces)) !== html(whole(text))) found.push(JSON.stringify(text));
  }
  expect(found).toEqual([]);
});

it("looks as marked shows it when it comes character by character", () => {
  // Without what marked does not know: formulas, notes, and bold beside Chinese.
  const common = PARTS.filter((part) => !/\\|\$|\[\^|文/.test(part));
  const dense = (shown: string) => shown.replace(/\s/g, "");
  const found: string[] = [];
  for (const [text] of texts(700, common)) if (dense(shape(streamed(text))) !== dense(expected(text))) found.push(JSON.stringify(text));
  expect(found).toEqual([]);
});

it("looks the same when it is cut everywhere as when it is stopped and drawn from what is stored", () => {
  const { piece, answer, element } = begin();
  const text = "One **two\n\n- three `four";
  for (const character of text) piece(character);
  answer.end({ cut: true });
  const stored = begin();
  stored.answer.set(text, { cut: true });
  expect(html(element)).toBe(html(stored.element));
});
