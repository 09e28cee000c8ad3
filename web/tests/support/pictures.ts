/** Stand in for a browser that decodes and encodes pictures, which jsdom does not. */

import { vi } from "vitest";

/** Each picture has so many pixels; drawn at a quality, it has so many bytes. Return how it was drawn. */
export function pictures(width: number, height: number, bytes: (pixels: number, quality: number) => number) {
  const drawn: [number, number, number][] = [];
  vi.stubGlobal("createImageBitmap", async () => ({ width, height }));
  vi.stubGlobal("Image", class {
    src = "";
    naturalWidth = width;
    naturalHeight = height;
    set onload(call: () => void) {
      queueMicrotask(call);
    }
  });
  Object.assign(URL, { createObjectURL: () => "blob:picture", revokeObjectURL: () => {} });
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue({ fillRect: () => {}, drawImage: () => {} } as never);
  vi.spyOn(HTMLCanvasElement.prototype, "toBlob").mockImplementation(function (this: HTMLCanvasElement, call, type, quality) {
    drawn.push([this.width, this.height, quality!]);
    call(new Blob(["x".repeat(bytes(this.width * this.height, quality!))], { type: type! }));
  });
  return drawn;
}
