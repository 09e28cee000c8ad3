/** What goes along with a question. */

import { afterEach, expect, test, vi } from "vitest";

import { left, MOST, MOST_MEGAPIXELS, MOST_PICTURE, MOST_TEXT, read, type Attachment } from "../../src/pane/attachments.js";
import { pictures } from "../support/pictures.js";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const file = (name: string, ...parts: BlobPart[]) => new File(parts, name);

test("a text file is its text, whatever its line ends and its kind", async () => {
  expect(await read(file("a.rs", "one\r\ntwo"))).toEqual({ kind: "file", name: "a.rs", text: "one\ntwo" });
  expect(await read(new File(["{}"], "a.json", { type: "application/json" }))).toMatchObject({ kind: "file", text: "{}" });
});

test("what is no text, or too much of it, is refused", async () => {
  expect(await read(file("a.bin", new Uint8Array([255, 254, 1])))).toBe("kind");
  expect(await read(file("a.bin", "a\0b"))).toBe("kind");
  expect(await read(file("a.txt", "x".repeat(MOST_TEXT + 1)))).toBe("large");
});

const png = (bytes: number) => new File(["x".repeat(bytes)], "p.png", { type: "image/png" });

test("a small picture is drawn anew in its kind: nothing of its file goes along", async () => {
  const drawn = pictures(800, 600, () => 90);
  expect(await read(png(100))).toMatchObject({ kind: "picture", name: "p.png", bytes: 90, src: expect.stringMatching(/^data:image\/png;base64,/) });
  expect(drawn).toEqual([[800, 600, 0.92]]);
});

test("one that has more bytes when it is drawn anew is a JPEG", async () => {
  const drawn = pictures(800, 600, (_, quality) => (quality === 0.92 ? MOST_PICTURE + 1 : 500));
  expect(await read(png(100))).toMatchObject({ bytes: 500, src: expect.stringMatching(/^data:image\/jpeg/) });
  expect(drawn).toEqual([[800, 600, 0.92], [800, 600, 0.85]]);
});

test("one with more pixels than the memory is for is refused before it is decoded", async () => {
  pictures(MOST_MEGAPIXELS * 1000, 1001, () => 1);
  const decode = vi.fn();
  vi.stubGlobal("createImageBitmap", decode);
  expect(await read(png(100))).toBe("pixels");
  expect(decode).not.toHaveBeenCalled();
});

test("one with more pixels than a model sees is drawn smaller", async () => {
  const drawn = pictures(3136, 1568, () => 500);
  expect(await read(png(100))).toMatchObject({ bytes: 500, src: expect.stringMatching(/^data:image\/jpeg/) });
  expect(drawn).toEqual([[1568, 784, 0.85]]);
});

test("one with many bytes is drawn with fewer, until they are few enough", async () => {
  const drawn = pictures(1000, 1000, (pixels, quality) => Math.round(pixels * quality * 0.6));
  expect(await read(png(MOST_PICTURE + 1))).toMatchObject({ kind: "picture", bytes: expect.any(Number) });
  expect(drawn.map(([width]) => width)).toEqual([1000, 1000, 1000, 1000, 768]);
});

test("one that stays too large is refused, and what the browser cannot read is no picture", async () => {
  pictures(7000, 7000, () => MOST_PICTURE + 1);
  expect(await read(png(MOST_PICTURE + 1))).toBe("picture");
  vi.stubGlobal("createImageBitmap", async () => Promise.reject(new Error("no picture")));
  expect(await read(png(1))).toBe("kind");
});

test("several pictures share what one question may have", async () => {
  pictures(1000, 1000, (pixels, quality) => Math.round(pixels * quality * 0.4));
  const taken: Attachment[] = [];
  for (;;) {
    const one = await read(png(MOST_PICTURE), left("words", taken));
    if (typeof one === "string") break;
    taken.push(one);
  }
  expect(taken.length).toBeGreaterThan(1);
  expect(left("words", taken)).toBeGreaterThanOrEqual(0);
  expect(left("words", [])).toBe(MOST - 5);
});
