/** What goes along with a question. */

import { afterEach, expect, test, vi } from "vitest";

import { left, MOST, MOST_PICTURE, MOST_TEXT, read, type Attachment } from "../../src/pane/attachments.js";

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

/** A picture of so many pixels; drawn at a quality, it has so many bytes. */
function picture(width: number, height: number, bytes: (pixels: number, quality: number) => number) {
  const drawn: [number, number, number][] = [];
  vi.stubGlobal("createImageBitmap", async () => ({ width, height }));
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue({ fillRect: () => {}, drawImage: () => {} } as never);
  vi.spyOn(HTMLCanvasElement.prototype, "toBlob").mockImplementation(function (this: HTMLCanvasElement, call, _, quality) {
    drawn.push([this.width, this.height, quality!]);
    call(new Blob(["x".repeat(bytes(this.width * this.height, quality!))], { type: "image/jpeg" }));
  });
  return drawn;
}

const png = (bytes: number) => new File(["x".repeat(bytes)], "p.png", { type: "image/png" });

test("a small picture goes as it is", async () => {
  const drawn = picture(800, 600, () => 1);
  expect(await read(png(100))).toMatchObject({ kind: "picture", name: "p.png", bytes: 100, src: expect.stringMatching(/^data:image\/png;base64,/) });
  expect(drawn).toEqual([]);
});

test("one with more pixels than a model sees is drawn smaller", async () => {
  const drawn = picture(3136, 1568, () => 500);
  expect(await read(png(100))).toMatchObject({ bytes: 500, src: expect.stringMatching(/^data:image\/jpeg/) });
  expect(drawn).toEqual([[1568, 784, 0.85]]);
});

test("one with many bytes is drawn with fewer, until they are few enough", async () => {
  const drawn = picture(1000, 1000, (pixels, quality) => Math.round(pixels * quality * 0.6));
  expect(await read(png(MOST_PICTURE + 1))).toMatchObject({ kind: "picture", bytes: expect.any(Number) });
  expect(drawn.map(([width]) => width)).toEqual([1000, 1000, 1000, 1000, 768]);
});

test("one that stays too large, or that the browser cannot read, is refused", async () => {
  picture(9000, 9000, () => MOST_PICTURE + 1);
  expect(await read(png(MOST_PICTURE + 1))).toBe("picture");
  vi.stubGlobal("createImageBitmap", async () => Promise.reject(new Error("no picture")));
  expect(await read(png(1))).toBe("picture");
});

test("several pictures share what one question may have", async () => {
  picture(1000, 1000, (pixels, quality) => Math.round(pixels * quality * 0.4));
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
