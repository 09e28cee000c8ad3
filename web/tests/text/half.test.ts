/** Text that is still being written: what is known is shown, no sign stands open, and nothing flickers. */

import { describe, expect, it } from "vitest";

import { begin, whole } from "../support/answers.js";
import { HALVES, seen } from "../support/halves.js";

describe.each(HALVES)("%s", (_, text, signs) => {
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
