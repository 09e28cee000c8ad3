/** The key field of the debug page, which has the key of the chat page: emptied, it forgets it everywhere. */

import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

// @ts-expect-error A script of its own, without declarations.
import { Form } from "../../../src/stream_serve/pages/test-stream/form.js";

const PAGES = "../src/stream_serve/pages";

it("an emptied key field forgets the key of the tab and of the device", () => {
  document.body.innerHTML = /<body[^]*<\/body>/.exec(readFileSync(`${PAGES}/test-stream.html`, "utf8"))![0];
  localStorage.setItem("stream-serve.key", "of the device");
  new Form({ send() {}, stop() {}, edited() {}, keyed() {} });
  const field = document.querySelector<HTMLInputElement>("#key")!;
  const type = (key: string) => {
    field.value = key;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  expect(field.value).toBe("of the device");
  type("another");
  expect([sessionStorage.getItem("stream-serve.key"), localStorage.getItem("stream-serve.key")]).toEqual(["another", "of the device"]);
  type("");
  expect([sessionStorage.length, localStorage.length]).toEqual([0, 0]);
});
