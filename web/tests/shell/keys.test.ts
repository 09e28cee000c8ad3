/** The keys of the page: what each does, and what each leaves alone. */

import { beforeAll, beforeEach, expect, test } from "vitest";

import { make } from "../../src/shell/dom.js";
import { listen } from "../../src/shell/keys.js";
import { page, press } from "../support/frame.js";

const called: string[] = [];
let open: string[] = [];
let letters = true;

const close = (name: string) => () => {
  if (!open.includes(name)) return false;
  open = open.filter((one) => one !== name);
  called.push(`close ${name}`);
  return true;
};

beforeAll(() => {
  const call = (name: string) => () => void called.push(name);
  listen({
    search: call("search"), begin: call("begin"), side: call("side"), settings: call("settings"), help: call("help"), write: call("write"),
    letters: () => letters,
    escapes: [close("edit"), close("search"), close("run")],
  });
});

beforeEach(() => {
  page();
  called.length = 0;
  open = [];
  letters = true;
});

function pressed(key: string, more: KeyboardEventInit = {}): string[] {
  called.length = 0;
  press(key, more);
  return [...called];
}

test("Esc closes one thing at a time: an edit, the search, then the run", () => {
  open = ["run", "search", "edit"];
  expect(pressed("Escape")).toEqual(["close edit"]);
  expect(pressed("Escape")).toEqual(["close search"]);
  expect(pressed("Escape")).toEqual(["close run"]);
  expect(press("Escape")).toBe(false);
});

test("what lies over the page has Esc and the keys with Ctrl for itself", () => {
  open = ["run"];
  document.body.append(make("div", { class: "menu" }));
  expect(pressed("Escape")).toEqual([]);
  expect(pressed("k", { ctrlKey: true })).toEqual([]);
  expect(pressed("?")).toEqual([]);
});

test("a key of an input method is not ours", () => {
  open = ["run"];
  expect(pressed("Escape", { isComposing: true })).toEqual([]);
  expect(pressed("Escape", { keyCode: 229 })).toEqual([]);
});

test("Ctrl and Cmd have the same keys, on keyboards without Latin letters, too", () => {
  expect(pressed("k", { ctrlKey: true })).toEqual(["search"]);
  expect(pressed("k", { metaKey: true })).toEqual(["search"]);
  expect(pressed("л", { ctrlKey: true, code: "KeyK" })).toEqual(["search"]);
  expect(pressed("O", { ctrlKey: true, shiftKey: true })).toEqual(["begin"]);
  expect(pressed("S", { ctrlKey: true, shiftKey: true })).toEqual(["side"]);
  expect(pressed(",", { ctrlKey: true })).toEqual(["settings"]);
});

test("a Latin key counts by its letter, wherever it is on the keyboard", () => {
  expect(pressed("t", { ctrlKey: true, code: "KeyK" })).toEqual([]); // Dvorak
});

test("AltGr, which is Ctrl and Alt, writes characters", () => {
  expect(pressed("k", { ctrlKey: true, altKey: true })).toEqual([]);
});

test("the developer's tools and the clipboard keep their keys", () => {
  for (const key of ["C", "I", "V", "T", "N"]) expect(pressed(key, { ctrlKey: true, shiftKey: true })).toEqual([]);
  for (const key of ["c", "v", "x", "a", "f"]) expect(pressed(key, { ctrlKey: true })).toEqual([]);
});

test("? opens the help, but is written into a field, and can be switched off", () => {
  expect(pressed("?")).toEqual(["help"]);
  const field = document.body.appendChild(document.createElement("textarea"));
  field.focus();
  expect(pressed("?")).toEqual([]);
  field.blur();
  letters = false;
  expect(pressed("?")).toEqual([]);
});

test("a letter that is typed with nothing focused goes to the box, a word of an input method, too", () => {
  expect(pressed("a")).toEqual(["write"]);
  expect(pressed("好")).toEqual(["write"]);
  expect(pressed("Process", { keyCode: 229 })).toEqual(["write"]);
  for (const key of [" ", "Tab", "ArrowDown", "PageDown", "F5"]) expect(pressed(key)).toEqual([]);
  expect(pressed("a", { ctrlKey: true })).toEqual([]);
});
