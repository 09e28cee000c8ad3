/** What an answer costs grows with its length, not with the square of it; what is finished is left alone. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { begin } from "../support/answers.js";
import { type Cost, cost } from "../support/meter.js";
import { cut, KINDS } from "../support/texts.js";

function work(text: string): Cost & { after: number } {
  const { piece, answer } = begin();
  const total = cost(() => {
    cut(text).forEach(piece);
    // A long block waits for more text, but not for long.
    vi.runAllTimers();
  });
  const end = cost(() => answer.end());
  return { ...total, after: end.made };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

// Those that have no way of their own cost more in each piece.
const SHORTER = ["one quotation", "one item with many inside"];

describe.each(Object.entries(KINDS))("%s", (kind, make) => {
  it("costs at most 2.2 times as much when it is twice as long, and makes no node after its end", () => {
    const pieces = SHORTER.includes(kind) ? 5_000 : 20_000;
    const half = work(make(pieces));
    const full = work(make(2 * pieces));
    expect(full.lexed / Math.max(half.lexed, 1)).toBeLessThanOrEqual(2.2);
    expect(full.operations / half.operations).toBeLessThanOrEqual(2.2);
    expect(full.made / half.made).toBeLessThanOrEqual(2.2);
    expect(full.after).toBe(0);
  });
});

// In each of them something begins again and again, and never ends.
it.each(["**a ", "_a ", "~~a ", "*a _b "])("the end of %s is searched for at most 2.2 times as much in twice the text", (begun) => {
  const search = (length: number) => {
    const { piece, answer } = begin();
    return cost(() => {
      cut(begun.repeat(length / begun.length)).forEach(piece);
      answer.end();
    }).searched;
  };
  expect(search(20_000) / search(10_000)).toBeLessThanOrEqual(2.2);
});

it("a long word before an @ is one piece of text but for what can be an address", () => {
  const { answer, element } = begin();
  const { texts } = cost(() => answer.set(`${"a.".repeat(10_000)}@ and a.b@c.test`));
  expect(texts).toBeLessThan(100);
  expect(element.querySelector("a")!.href).toBe("mailto:a.b@c.test");
});

it.each([["\\(a ", "\\(b\\)"], ["\\[a ", "\\[b\\]"]])("%s is looked for up to the next one", (begun, whole) => {
  const { answer, element } = begin();
  answer.set(`So ${begun.repeat(10)}${whole}`);
  expect([...element.querySelectorAll(".math")].map((node) => node.getAttribute("data-source"))).toEqual([whole]);
});

it("a block that is finished is not touched again", () => {
  const { piece, element, answer } = begin();
  const seen = new Set<Node>();
  const touched: string[] = [];
  const observer = new MutationObserver(() => {});
  observer.observe(element, { childList: true, characterData: true, attributes: true, subtree: true });
  for (const text of cut(KINDS["mixed text"]!(2000))) {
    piece(text);
    for (const { target } of observer.takeRecords()) if (seen.has(target)) touched.push(target.nodeName);
    // The last block may change, and the one before it while an empty line between them may still go.
    for (const block of [...element.children].slice(0, -2)) {
      if (seen.has(block)) continue;
      const walker = document.createTreeWalker(block);
      for (let node: Node | null = block; node; node = walker.nextNode()) seen.add(node);
    }
  }
  answer.end();
  expect(touched).toEqual([]);
  expect(seen.size).toBeGreaterThan(1000);
});
