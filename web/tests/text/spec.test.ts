/** The examples of CommonMark's specification, against what marked makes of them. */

import spec from "commonmark-spec";
import { describe, expect, it } from "vitest";

import { streamed, whole } from "../support/answers.js";
import { expected, shape } from "../support/shape.js";

// Addresses without a host are no links to us: the examples get one.
const examples = spec.tests.map(({ markdown, number }) => {
  const text = markdown.replaceAll("→", "\t").replace(/(?<![\w:/])\/ur[il]/g, "https://a.test$&");
  return { number, text };
});

// Two are meant to differ: in the 12th a formula's brackets are escaped, and the 25th has characters with rare names.
const DIFFERENT = [12, 25];

function differing(draw: (text: string) => HTMLElement): number[] {
  return examples.filter(({ text }) => shape(draw(text)) !== expected(text)).map(({ number }) => number);
}

describe("the examples of CommonMark's specification", () => {
  it("are all there", () => expect(examples).toHaveLength(652));
  it("look as marked shows them when they come as a whole", () => expect(differing(whole)).toEqual(DIFFERENT));
  it("look as marked shows them when they come character by character", () => expect(differing(streamed)).toEqual(DIFFERENT));
});
