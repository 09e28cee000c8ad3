/** One line without the marks of Markdown; what only looks like them stays. */

import { expect, test } from "vitest";

import { bare } from "../../src/text/bare.js";

test.each([
  ["How does **SSE** work?", "How does SSE work?"],
  ["什么是**SSE**？", "什么是SSE？"],
  ["# A `**kwargs` *and* ~~more~~", "A **kwargs and more"],
  ["***Both***", "Both"],
  ["> - [ ] [The docs](https://example.org/a) of ![it](x.png)", "The docs of it"],
  ["A **title that was cut in the mid…", "A title that was cut in the mid…"],
  ["~~Cut in its mark~…", "Cut in its mark…"],
  ["2*3*4, snake_case and __init__", "2*3*4, snake_case and __init__"],
  ["What does **kwargs do?", "What does **kwargs do?"],
  ["```js", "js"],
  ["~~~", ""],
  ["```Code``` in a line", "Code in a line"],
  ["5 * 3 * 2", "5 * 3 * 2"],
  ["-1 is less than 0", "-1 is less than 0"],
  ["", ""],
])("%j is shown as %j", (line, shown) => {
  expect(bare(line)).toBe(shown);
});
