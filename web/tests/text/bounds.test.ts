/** Text that is being written is looked at within bounds, whatever it repeats; for other text that changes nothing. */

import { afterEach, describe, expect, it, vi } from "vitest";

import { Markdown } from "../../src/text/lex.js";
import { heal } from "../../src/text/heal.js";
import { chance } from "../support/chance.js";

const known = () => false;

/** Return how many characters the expressions of a run look at: up to where they find something, or all if they do not. */
function looked(run: () => void): number {
  let count = 0;
  const real = RegExp.prototype.exec;
  vi.spyOn(RegExp.prototype, "exec").mockImplementation(function (this: RegExp, text: string) {
    const from = this.global || this.sticky ? this.lastIndex : 0;
    const found = real.call(this, text);
    // One that is bound to its place looks at what it finds only.
    // One that is bound to the end alone may be tried from each place to there, unless it says where it begins.
    if (this.source.endsWith("$") && !this.source.startsWith("^") && !this.source.startsWith("(?<")) count += text.length ** 2;
    else if (found) count += found.index + found[0].length - from;
    else count += this.sticky ? 1 : text.length - from;
    return found;
  });
  run();
  vi.restoreAllMocks();
  return count;
}

afterEach(() => void vi.restoreAllMocks());

describe.each(["_", "*", "$", "`", "[^", "[", "![", "[a](b", "[a](<b ", "[a]( ", "*a ~~b ", "a* ", "[a][", "<b", "&a", "` `` "])("%s again and again", (begun) => {
  it("is looked at in proportion to its length", () => {
    const work = (length: number) => {
      const text = `${begun.repeat(length / begun.length)} >x`;
      return looked(() => void heal(text, known));
    };
    expect(work(40_000)).toBeLessThanOrEqual(2.2 * work(20_000));
  });
});

it("a paragraph is searched for what ends it up to an empty line", () => {
  const given = (count: number) => {
    let most = 0;
    const real = RegExp.prototype.exec;
    vi.spyOn(RegExp.prototype, "exec").mockImplementation(function (this: RegExp, text: string) {
      if (this.source.includes(String.raw`\[\^[^\]\s]+\]:)`)) most = Math.max(most, text.length);
      return real.call(this, text);
    });
    new Markdown().read("so many words\n\n".repeat(count));
    vi.restoreAllMocks();
    return most;
  };
  expect(given(2)).toBeGreaterThan(0);
  expect(given(200)).toBe(given(2));
});

const PARTS = ["word ", "文字，", "**", "*", "_", "~~", "`", "```", "[", "](", "](https://a.test/c", "](a \"t", "\")", ")", "![", "[^1", "[^1]", "<b", "<b>", "&am", "\\(", "\\)", "$$", " ", "\n", "[a](b)", "][x"];

it("what stands long before the end changes nothing", () => {
  const before = "words in a row ".repeat(200);
  const found: string[] = [];
  for (let seed = 0; seed < 3_000; seed++) {
    const one = chance(seed);
    const text = Array.from({ length: 1 + one([1, 2, 4, 7, 11]) }, () => one(PARTS)).join("");
    const alone = heal(`so ${text}`, known);
    const behind = heal(`${before}so ${text}`, known);
    if (behind.text !== before + alone.text || behind.plain !== alone.plain) found.push(text);
  }
  expect(found).toEqual([]);
});
