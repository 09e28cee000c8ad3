/** Text that is still being written: what is known is shown, no sign stands open, and nothing flickers. */

import { describe, expect, it } from "vitest";

import { begin, whole } from "../support/answers.js";

/** Kinds of text, and the signs that must never be seen in each. */
const CORPUS: [kind: string, text: string, signs: RegExp][] = [
  ["bold", "The **second part** of it is *not so* important.", /\*/],
  ["bold in Chinese", "这是**发展，**年轻人说**“引号”**吗？", /\*/],
  ["bold and italic", "See ***both of them*** and **one *inside* it** here.", /\*/],
  ["underscores", "It is _meant so_ and __so__ but snake_case_name stays.", /(?<!\w)_|_(?!\w)/],
  ["code", "Call `run(a, b)` and ``a ` b`` there, or `**this**`.", /`(?!\s)|\*\*(?=\s)/],
  ["struck out", "Not ~~that one~~ this one.", /~/],
  ["a range", "20~25 度，30~35 度", /<del>/],
  ["a link", "Read [the manual](https://example.test/a_b?c=d) first, [then](https://example.test/x \"Title\") ask.", /[[\]]|\(https/],
  ["an image", "Look: ![a red house](data:image/png;base64,AAAA) here", /!|\[|\]|base64/],
  ["a heading", "# First\n\nText under it.\n\n## Second part ##\n\nMore.", /#/],
  ["a line under text", "Some text\n---\n\nOther text\n\n***\n\nEnd", /-{2}|\*/],
  ["a list", "Points:\n\n- one **bold**\n- two\n  - inner `x`\n- three\n\nAfter it.", /^\s*-|[*`]/m],
  ["a numbered list", "1. one\n2. two\n3. three\n\n10) ten", /^\s*\d+[.)]/m],
  ["tasks", "- [ ] open one\n- [x] done one\n- [ ] last", /[[\]]/],
  ["a quotation", "> said **so**\n> and so\n\nAnswer.", />|\*/],
  ["a table", "Numbers:\n\n| a | **b** |\n|---|:-:|\n| 1 | `2` |\n| 3 | 4 |\n\nAfter.", /[|*]|--/],
  ["a fence", "Do:\n\n```python\nprint(\"**\")\n\n# end\n```\n\nDone.", /`/],
  ["a formula", "So \\(x^2 + y_1\\) holds.", /\\\(/],
  ["a formula in dollars", "So **now $$a*b*c$$** holds.", /[$*]/],
  ["a formula on its lines", "Then:\n\n$$\n\\frac{a}{b}\n= 1\n$$\n\nend.", /\$/],
  ["a formula in brackets on its lines", "And\n\\[\nx\n- 1\n\\]\nend.", /\\\[/],
  ["an address", "At <https://example.test/a> and https://example.test/b now.", /[<>]/],
  ["a note", "So it is.[^1]\n\n[^1]: Says **who**.", /[[\]^]|\*/],
  ["a target", "See [here][a] now.\n\n[a]: https://example.test/z \"T\"", /[\]]:/],
];

/** What a reader sees, without what stands in code and formulas. */
function seen(element: HTMLElement): string {
  const copy = element.cloneNode(true) as HTMLElement;
  for (const code of copy.querySelectorAll("code, pre, .bar, .math")) code.remove();
  return copy.textContent!;
}

describe.each(CORPUS)("%s", (_, text, signs) => {
  it("shows no sign of Markdown at any character", () => {
    const { piece, element } = begin();
    const wrong: string[] = [];
    for (let at = 0; at < text.length; at++) {
      piece(text[at]!);
      if (signs.test(seen(element))) wrong.push(`${text.slice(0, at + 1)} -> ${element.innerHTML}`);
    }
    expect(wrong).toEqual([]);
  });

  it("has no element that comes and goes twice", () => {
    const { piece, element } = begin();
    const observer = new MutationObserver(() => {});
    observer.observe(element, { childList: true, subtree: true });
    const gone = new Map<string, number>();
    for (const character of text) {
      piece(character);
      for (const { removedNodes } of observer.takeRecords()) {
        for (const node of removedNodes) if (node instanceof Element) gone.set(node.localName, (gone.get(node.localName) ?? 0) + 1);
      }
    }
    expect([...gone].filter(([, times]) => times > 1)).toEqual([]);
  });

  it("is at the end what it is when it comes as a whole, and nothing is made for that", () => {
    const { piece, element, answer } = begin();
    for (const character of text) piece(character);
    const before = element.innerHTML;
    answer.end();
    const after = element.innerHTML;
    // The ids of notes are the answer's own.
    const same = (html: string) => html.replace(/notes-\d+/g, "notes");
    expect(same(after)).toBe(same(whole(text).innerHTML));
    if (!/[\])>`$|*-]$|"$/.test(text)) expect(after).toBe(before);
  });
});

it("a stopped answer keeps what was open closed", () => {
  const { answer, element } = begin();
  answer.set("It is **very impor", { cut: true });
  expect(element.innerHTML).toBe('<p dir="auto">It is <strong>very impor</strong></p>');
});
