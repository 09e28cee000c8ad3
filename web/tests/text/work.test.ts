/** What an answer costs grows with its length, not with the square of it; what is finished is left alone. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { plain } from "../../src/text/copy.js";
import { begin } from "../support/answers.js";
import { type Cost, cost } from "../support/meter.js";
import { cut, HOSTILE, KINDS } from "../support/texts.js";

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

/** Blocks as they are shown, whatever parts they are in. */
function blocks(element: HTMLElement): string[] {
  const all = element.querySelectorAll(":is(.answer, .part, .group) > :not(.part, .group)");
  return [...all].map((block) => block.outerHTML.replace(/notes-\d+/g, "notes"));
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

// Those that have no way of their own cost more in each piece.
const SHORTER = ["one paragraph of formulas", "one quotation", "one item with many inside"];

describe.each(Object.entries({ ...KINDS, ...HOSTILE }))("%s", (kind, make) => {
  it("costs at most 2.2 times as much when it is twice as long, and makes no node after its end", () => {
    const pieces = kind in HOSTILE ? 1_000 : SHORTER.includes(kind) ? 5_000 : 20_000;
    const half = work(make(pieces));
    const full = work(make(2 * pieces));
    expect(full.lexed / Math.max(half.lexed, 1)).toBeLessThanOrEqual(2.2);
    expect(full.operations / half.operations).toBeLessThanOrEqual(2.2);
    expect(full.made / half.made).toBeLessThanOrEqual(2.2);
    expect(full.after).toBe(0);
  });
});

// As a stored answer is shown, with no time for more than one slice in each draw.
it.each(Object.entries(HOSTILE))("%s are drawn in slices, between which the page does other work", (_, make) => {
  const text = make(2_500);
  const sliced = begin({ frame: (draw) => draw(), budget: 0 });
  const slices = [cost(() => sliced.answer.set(text)).made];
  while (vi.getTimerCount()) slices.push(cost(() => vi.runOnlyPendingTimers()).made);
  expect(slices.length).toBeGreaterThanOrEqual(8);
  expect(Math.max(...slices)).toBeLessThan(3_000);
  const html = blocks(sliced.element);
  const whole = begin();
  whole.answer.set(text);
  expect(html).toEqual(blocks(whole.element));
  const streamed = begin();
  for (const piece of text.match(/[^]{1,50}/g)!) streamed.piece(piece);
  streamed.answer.end();
  expect(blocks(streamed.element)).toEqual(html);
});

it("what is left of a long answer is drawn at once for who asks for all of it", () => {
  const { answer, element } = begin({ frame: (draw) => draw(), budget: 0 });
  answer.set(HOSTILE["breaks alone"]!(1_000));
  const first = element.querySelectorAll("hr").length;
  answer.rest();
  expect(first).toBeLessThan(1_000);
  expect(element.querySelectorAll("hr")).toHaveLength(1_000);
});

it.each([[100, "table"], [101, "pre"]])("a table of %i columns is a %s", (columns, name) => {
  const line = (cell: string) => `|${`${cell}|`.repeat(columns)}\n`;
  const table = line("a") + line("-") + line("b");
  const text = `${table}\nAfter it.\n`;
  const { answer, element } = begin();
  answer.set(text);
  const shown = element.querySelector(name)!;
  if (name === "pre") expect(shown.textContent).toBe(table);
  else expect(shown.querySelectorAll("td")).toHaveLength(columns);
  const { piece, ...streamed } = begin();
  for (const character of text.trimEnd()) piece(character);
  // What follows is seen before there is much of it.
  expect(streamed.element.textContent).toContain("After it.");
  streamed.answer.end();
  expect(blocks(streamed.element)).toEqual(blocks(element));
});

it("a short row costs no more than it has in it, however many columns its table has", () => {
  const line = (cell: string) => `|${`${cell}|`.repeat(100)}\n`;
  const { answer, element } = begin();
  const { made } = cost(() => answer.set(line("a") + line("-") + "|b|\n".repeat(500) + "||\n|b||c|\n"));
  const cells = [...element.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent));
  expect(cells.slice(-3)).toEqual([["b"], [""], ["b", "", "c"]]);
  expect(cells).toHaveLength(502);
  expect(made).toBeLessThan(3_000);
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

it("a text of very many formulas is in runs, each with a direction of its own, and is copied as one", () => {
  const text = KINDS["one paragraph of formulas"]!(5_000).trimEnd();
  const { piece, answer, element } = begin();
  cut(text).forEach(piece);
  answer.end();
  const [paragraph, ...others] = element.children;
  expect(others).toEqual([]);
  const runs = [...paragraph!.children];
  expect(runs.length).toBeGreaterThan(10);
  expect(runs.map((run) => `${run.className} ${run.getAttribute("dir")}`)).toEqual(runs.map(() => "run auto"));
  // The browser looks for the direction of all in which something changes.
  expect(Math.max(...runs.map(({ childNodes }) => childNodes.length))).toBeLessThanOrEqual(250);
  expect(plain(element)).toBe(`${text}\n`);
});

it.each([["blocks", "\\(x\\) ".repeat(10) + "\n\n"], ["items", `- ${"\\(x\\) ".repeat(10)}\n`]])("fewer %s with many formulas stand side by side", (_, text) => {
  const { answer, element } = begin();
  answer.set(text.repeat(100));
  const most = [element, ...element.querySelectorAll(".part, ul")].map((one) => one.querySelectorAll(":scope > p > .math, :scope > li > p > .math").length);
  // What is drawn in one go may be more.
  expect(Math.max(...most)).toBeLessThan(260);
  expect(element.querySelectorAll(".math")).toHaveLength(1_000);
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
