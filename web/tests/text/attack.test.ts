/** Text that wants to be more than text, at every character of its arrival: nothing runs, and nothing is asked for. */

import { describe, expect, it } from "vitest";

import { otherHost } from "../../src/text/urls.js";
import { begin } from "../support/answers.js";
import { ATTACKS, wrong } from "../support/attacks.js";

describe.each(ATTACKS)("%s", (text) => {
  it("is never more than text", () => {
    const { piece, element, answer } = begin();
    const found: string[] = [];
    for (const character of text) {
      piece(character);
      found.push(...wrong(element));
    }
    answer.end();
    expect([...found, ...wrong(element)]).toEqual([]);
  });
});

it("no pair of such texts becomes more than text", () => {
  const found: string[] = [];
  for (const first of ATTACKS) {
    for (const second of ATTACKS) {
      const { answer, element } = begin();
      answer.set(`${first} ${second}`);
      found.push(...wrong(element));
    }
  }
  expect(found).toEqual([]);
});

it("a picture of another host is loaded when its button is pressed, which names the host", () => {
  const { answer, element } = begin();
  answer.set("![a map](https://far.test/map.png?q=1)");
  const button = element.querySelector("button")!;
  expect(button.textContent).toBe("Show the picture a map from far.test");
  expect(element.querySelector("img")).toBeNull();
  button.click();
  const image = element.querySelector("img")!;
  expect([image.src, image.alt, image.getAttribute("referrerpolicy")]).toEqual(["https://far.test/map.png?q=1", "a map", "no-referrer"]);
});

it.each(["/ai/logout", "map.png", `${location.origin}/map.png`])("the picture %s of this host is not loaded either before its button is pressed", (address) => {
  const { answer, element } = begin();
  answer.set(`![a map](${address})`);
  expect(element.querySelector("img")).toBeNull();
  expect(element.querySelector("button")!.textContent).toBe(`Show the picture a map from ${location.host}`);
  const inside = begin();
  inside.answer.set(`![a map](${data("png", png(10, 10))})`);
  expect(inside.element.querySelector("img")!.src).toBe(data("png", png(10, 10)));
});

const data = (kind: string, bytes: number[], more = 0) => `data:image/${kind};base64,${btoa(String.fromCharCode(...bytes))}${"A".repeat(more)}`;
const png = (width: number, height: number) => [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, width >> 8, width & 255, 0, 0, height >> 8, height & 255];
const jpeg = (width: number, height: number) => [0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 1, 0xff, 0xff, 0xc2, 0, 11, 8, height >> 8, height & 255, width >> 8, width & 255];
const gif = (width: number, height: number) => [0x47, 0x49, 0x46, 0x38, 0x39, 0x61, width & 255, width >> 8, height & 255, height >> 8];

it.each([
  data("png", png(9000, 1)), data("png", png(1, 9000)), data("jpeg", jpeg(9000, 20)), data("png", jpeg(20, 9000)), data("gif", gif(9000, 1)),
  data("png", png(1, 1), 400_000), data("webp", [], 400_000),
  data("png;a=b", png(9000, 1)), "data:image/png;,%89PNG", data("jpeg", [0xff, 0xd8, 0xff, 0xe0]), data("png", []), data("png", [], 1), data("avif", [], 40),
])("a picture in the text that may take much memory is shown when its button is pressed (%#)", (src) => {
  const { answer, element } = begin();
  answer.set(`![a map](${src})`);
  expect(element.querySelector("img")).toBeNull();
  element.querySelector("button")!.click();
  expect(element.querySelector("img")!.src).toBe(src);
});

it.each([data("png", png(8000, 10)), data("jpeg", jpeg(800, 600)), data("png;a=b", png(10, 10))])(
  "any other picture in the text is shown at once (%#)",
  (src) => {
    const { answer, element } = begin();
    answer.set(`![a map](${src})`);
    expect(element.querySelector("img")!.src).toBe(src);
  },
);

it("a link whose text names another host says where it leads", () => {
  const { answer, element } = begin();
  answer.set("[bank.test](https://evil.test/x), [see https://a.test/b](https://a.test/c), [so](https://b.test), [www.c.test](https://c.test)");
  expect([...element.querySelectorAll("a")].map((link) => link.textContent)).toEqual(["bank.test (evil.test)", "see https://a.test/b", "so", "www.c.test"]);
  expect(element.querySelector("a")!.rel).toBe("noopener noreferrer nofollow");
});

it.each([
  "“bank.test”", "Log in at bank.test.", "bank。test", "bank\u200b.test", "bank．test", "ba\u00adnk.test", "10.0.0.1", "evil.test and bank.test", "登录bank.test查看",
  "https://bank.test@evil.test/", "bank.test:443", "<bank.test>", "bánk.test", "bank.xn--p1ai",
])("the text %s of a link is named as another host", (text) => {
  expect(otherHost(text, new URL("https://evil.test/x"))).toBe("evil.test");
});

it.each(["evil.test", "www.Evil.test.", "https://evil.test/main.py?a=b.cd", "evil.test/main.py", "第一句。第二句", "Python 3.12", "and so on... then", "e.g. this", "evil.test:443"])(
  "the text %s of a link is that of its host, or of none",
  (text) => expect(otherHost(text, new URL("https://evil.test/x"))).toBeUndefined(),
);

it.each(["> ", "- ", "1. ", "[^a]: ", "*a ", "**[", "&amp", "~~a ", "[a](", "![a]("])("%s in itself is text where it is too deep", (sign) => {
  const { answer, element } = begin();
  answer.set(`${sign.repeat(3000)}the end`);
  expect(element.textContent).toContain("the end");
});
