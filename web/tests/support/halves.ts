/** Markdown of each kind, whose signs are not to be seen while it is being written. */

/** Kinds of text, and the signs that must never be seen in each. */
export const HALVES: [kind: string, text: string, signs: RegExp][] = [
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
export function seen(element: HTMLElement): string {
  const copy = element.cloneNode(true) as HTMLElement;
  for (const code of copy.querySelectorAll("code, pre, .bar, .math")) code.remove();
  return copy.textContent!;
}
