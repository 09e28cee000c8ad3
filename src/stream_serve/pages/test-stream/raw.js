// The bytes of a stream as they came: a text view that is capped, and a download that holds more.

/** @import { Bytes } from "./sse.js" */

import { byId, EndKeeper, make, present, put } from "./element.js";
import { GrowingText } from "./growing.js";
import { size, text } from "./text.js";

const SHOWN = 1024 * 1024; // bytes in the view
const KEPT = 64 * 1024 * 1024; // bytes for the download

export class RawView {
  #box = byId("raw");
  #end = new EndKeeper(this.#box);
  #text = new GrowingText(this.#box);
  #button = byId("raw-download", HTMLButtonElement);
  /** @type {Bytes[]} */
  #chunks = [];
  #total = 0;
  #kept = 0;
  #drawn = 0; // chunks that are in the view
  #shown = 0; // bytes that are in the view
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** The download's name, without its ending. */
  name = "stream";

  constructor() {
    this.#button.addEventListener("click", () => this.#download());
    this.reset();
  }

  reset() {
    this.name = "stream";
    this.#chunks = [];
    this.#total = this.#kept = this.#drawn = this.#shown = 0;
    this.#decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    this.#text.clear();
    this.#end.reset();
    this.words();
  }

  /** @param {Bytes} bytes */
  add(bytes) {
    this.#total += bytes.length;
    if (this.#kept + bytes.length > KEPT) return;
    this.#kept += bytes.length;
    this.#chunks.push(bytes);
  }

  /** Bring the view up to date. Cheap when it cannot be seen: then nothing is drawn. */
  show() {
    this.words();
    if (this.#box.offsetParent === null) return;
    let words = "";
    while (this.#drawn < this.#chunks.length && this.#shown < SHOWN) {
      const bytes = present(this.#chunks[this.#drawn++], "chunk").subarray(0, SHOWN - this.#shown);
      this.#shown += bytes.length;
      words += this.#decoder.decode(bytes, { stream: true });
    }
    if (words === "") return;
    this.#text.append(words);
    this.#end.keep();
  }

  words() {
    const cut = this.#total > SHOWN;
    const values = { shown: size(SHOWN), total: size(this.#total), kept: size(this.#kept) };
    put(byId("raw-note"), this.#total === 0 ? text("rawEmpty") : text(cut ? "rawCut" : "rawShown", values));
    this.#button.disabled = this.#kept === 0;
  }

  #download() {
    const address = URL.createObjectURL(new Blob(this.#chunks, { type: "text/event-stream" }));
    const link = make("a");
    link.href = address;
    link.download = `${this.name}.sse.txt`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}
