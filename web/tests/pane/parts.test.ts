/** The pure parts of the pane: quoted files, how fast text is revealed, and what is heard of it. */

import { describe, expect, test, vi } from "vitest";

import { contentOf } from "../../src/pane/attachments.js";
import { pretty, Tools } from "../../src/pane/parts.js";
import { split, withQuotes } from "../../src/pane/quote.js";
import { revealed } from "../../src/pane/reveal.js";
import { Tail } from "../../src/pane/tail.js";
import { countWords, Voice } from "../../src/pane/voice.js";
import type { Tool } from "../../src/turn/index.js";
import { chance } from "../support/chance.js";

describe("quoted files", () => {
  test.each([
    ["words", [{ name: "a.txt", text: "one\ntwo" }]],
    ["", [{ name: "a b.md", text: "```js\n1\n```" }, { name: "二.txt", text: "````\n" }]],
    ["what\n\nis this?", [{ name: "empty.txt", text: "" }]],
  ])("come back as they were: %s", (words, quotes) => {
    const found = split(withQuotes(words, quotes));
    expect(found.words).toBe(words);
    expect(found.quotes).toEqual(quotes.map(({ name, text }) => ({ name, text: text.replace(/\n$/, "") })));
  });

  test("are not seen in a question's own code, nor where words stand behind them", () => {
    for (const question of ["see\n```js\nx\n```", "``` file: a\nx\n```\nand this?", "``` file: a\nnot closed"]) {
      expect(split(question)).toEqual({ words: question, quotes: [] });
    }
  });

  test("stand below what was typed and pasted, and beside pictures", () => {
    const file = { kind: "file", name: "a.txt", text: "x" } as const;
    expect(contentOf(" hi ", [{ kind: "pasted", text: "long\n" }, file])).toBe("hi\n\nlong\n\n``` file: a.txt\nx\n```");
    const picture = { kind: "picture", name: "p", src: "data:image/png;base64,AA", bytes: 1 } as const;
    expect(contentOf("", [picture])).toEqual([{ type: "image_url", image_url: { url: picture.src } }]);
    expect(contentOf("  ", [])).toBe("");
  });
});

describe("text that arrives", () => {
  test("is revealed within 150 ms of what waits", () => {
    let waiting = 1000;
    let frames = 0;
    for (; waiting > 100; frames++) waiting -= revealed(waiting, 16, false);
    expect(frames).toBeLessThan(24);
    expect(revealed(3, 16, false)).toBe(2);
    expect(revealed(0, 16, false)).toBe(0);
  });

  test("is shown at once where it was missed, is much, or nothing may move", () => {
    expect(revealed(1501, 16, false)).toBe(1501);
    expect(revealed(900, 16, true)).toBe(900);
    expect(revealed(900, 400, false)).toBe(900);
  });
});

describe("what is new of a text", () => {
  test("is its newest piece, and all of what was missed", () => {
    const tail = new Tail();
    tail.take("ab", "ab");
    tail.take("abcd", "cd");
    tail.take("abcd", "cd");
    expect([tail.waiting, tail.read(3), tail.read(), tail.read()]).toEqual([4, "abc", "d", ""]);
    tail.take("abcdefgh", "gh");
    expect([tail.read(), tail.taken]).toEqual(["efgh", 8]);
  });

  test.each([1, 2, 3])("is never doubled nor missing, whatever is taken when (seed %i)", (seed) => {
    const pick = chance(seed);
    const tail = new Tail();
    let whole = "";
    let read = "";
    for (let turn = 0; turn < 500; turn++) {
      const piece = pick(["a", "bc", "", "def", "词"]);
      whole += piece;
      if (pick([true, true, false])) tail.take(whole, piece);
      if (pick([true, false])) read += tail.read(pick([1, 2, 100]));
    }
    tail.take(whole, "");
    expect(read + tail.read()).toBe(whole);
  });
});

describe("what is heard", () => {
  const words = { code: (language: string, lines: number) => `Code ${language} ${lines}`, table: (rows: number) => `Table ${rows}` };
  const text = "# Title\n\nIt costs 3.5 dollars. **Bold**, [a link](https://a.test). 你好。再见！\n\n```py\na = 1.\n\nb\n```\n\n| a | b |\n|---|---|\n| 1. x | 2 |\n| 3 | 4 |\n\nThe end";
  const heard = ["Title", "It costs 3.5 dollars.", "Bold, a link.", "你好。", "再见！", "Code py 3", "Table 2", "The end"];

  test.each([1, 2, 3, 4, 5])("is whole sentences, each once, however the text comes (seed %i)", (seed) => {
    const pick = chance(seed);
    const voice = new Voice(words);
    for (let at = 0; at < text.length; ) {
      const size = pick([1, 2, 3, 7, 40]);
      voice.add(text.slice(at, at + size));
      at += size;
    }
    voice.end();
    expect(voice.due(0)).toBe(heard.join(" "));
    expect(voice.due(9e9)).toBe("");
  });

  test.each(["[", "_", "![a](", "a", "[a]((b)", "__a", "| "])("of a line of many %s is its beginning", (sign) => {
    const voice = new Voice(words);
    for (let at = 0; at < 50_000; at += 10) voice.add(sign.repeat(10));
    voice.add("the end. More.");
    voice.end();
    expect(voice.due(0).length).toBeLessThan(2100);
  });

  test("comes at most every 2.5 seconds, joined", () => {
    const voice = new Voice(words);
    voice.add("One. ");
    expect(voice.due(10_000)).toBe("One.");
    voice.add("Two. Three. Fo");
    expect(voice.due(12_000)).toBe("");
    expect(voice.due(12_500)).toBe("Two. Three.");
    expect(voice.waits).toBe(false);
  });

  test("names a link whose address has brackets by its text", () => {
    const voice = new Voice(words);
    voice.add("See [a_b](https://a.test/x_(y)) and _so_ __far__.\n");
    expect(voice.due(0)).toBe("See a_b and so far.");
  });

  test("counts words, and in Chinese characters", () => {
    expect(countWords("two words")).toBe(2);
    expect(countWords("你好, world")).toBe(3);
  });
});

test("the arguments of a tool have lines as soon as they are JSON", () => {
  expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
  expect(pretty('{"a":')).toBe('{"a":');
});

test("the arguments of a tool keep their keys and numbers, and what is long or deep is as it came", () => {
  expect(pretty('{"a": 12345678901234567890, "a":[1.0,"x, {\\"}"],"b":{ },"c":[]}')).toBe(
    '{\n  "a": 12345678901234567890,\n  "a": [\n    1.0,\n    "x, {\\"}"\n  ],\n  "b": {},\n  "c": []\n}',
  );
  for (const text of ["[".repeat(21) + "1" + "]".repeat(21), `["${"a".repeat(100_000)}"]`, '{"a"}', '"[1]"']) expect(pretty(text)).toBe(text);
});

test("the arguments of a tool get their lines when their card is opened", () => {
  const tools = new Tools();
  const parse = vi.spyOn(JSON, "parse");
  const call = (json: string) => tools.draw([{ name: "look", arguments: json } as Tool]);
  call('{"a":1}');
  call('{"a":1}');
  const card = tools.element.querySelector("details")!;
  expect([parse.mock.calls.length, card.querySelector("pre")!.textContent]).toEqual([0, ""]);
  card.open = true;
  card.dispatchEvent(new Event("toggle"));
  call('{"a":1}');
  expect([parse.mock.calls.length, card.querySelector("pre")!.textContent]).toEqual([1, '{\n  "a": 1\n}']);
  call('{"a":2}');
  expect(card.querySelector("pre")!.textContent).toBe('{\n  "a": 2\n}');
  parse.mockRestore();
});
