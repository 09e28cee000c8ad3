/** The small parts: what is kept of a reader's choices, the names of files, and the order of nodes. */

import { beforeEach, expect, test } from "vitest";

import { Choices } from "../../src/data/choices.js";
import { Store } from "../../src/data/store.js";
import { arrange, make } from "../../src/shell/dom.js";
import { fileName } from "../../src/shell/save.js";

beforeEach(() => localStorage.clear());

const choices = () => new Choices(new Store(() => localStorage));

test("choices are kept, and what is the usual is not", () => {
  choices().set("theme", "dark");
  expect(choices().get("theme")).toBe("dark");
  choices().take("theme", "");
  expect(localStorage.length).toBe(0);
  expect(choices().get("theme")).toBe("");
});

test("the colours are there before the page is", async () => {
  choices().set("theme", "dark");
  await import("../../src/first.js");
  expect(document.documentElement.dataset["theme"]).toBe("dark");
});

test("what is none of the choices is neither taken nor read", () => {
  localStorage.setItem("stream-serve.theme", "purple");
  const made = choices();
  made.take("enter", "explodes");
  expect([made.get("theme"), made.get("enter")]).toEqual(["", ""]);
});

test("the language is the one that the debug page was told", () => {
  localStorage.setItem("stream-serve.language", "zh");
  expect(choices().get("language")).toBe("zh");
});

test("where the browser keeps nothing, choices last until the page is left", () => {
  const made = new Choices(new Store(() => { throw new Error("switched off"); }));
  made.set("voice", "off");
  expect(made.get("voice")).toBe("off");
});

test.each([
  ["A title.md", "A title.md"],
  ["流式回答：怎么做？.md", "流式回答：怎么做？.md"],
  ["../../etc/passwd.json", "etc passwd.json"],
  ["a\u202etxt.exe\n<b>|?.md", "a txt.exe b.md"],
  ["... .md", "conversation.md"],
  [`${"long ".repeat(60)}.md`, `${"long ".repeat(20).trim()}.md`],
])("%j is saved as %j", (title, name) => {
  expect(fileName(title)).toBe(name);
});

test("nodes that stand right are not moved, and keep the focus", () => {
  const [one, two, three] = ["one", "two", "three"].map((text) => make("button", {}, text));
  const parent = document.body.appendChild(make("div"));
  arrange(parent, [one!, two!]);
  two!.focus();
  arrange(parent, [two!, three!]);
  expect(document.activeElement).toBe(two);
  arrange(parent, [three!, two!]);
  expect([...parent.children].map(({ textContent }) => textContent)).toEqual(["three", "two"]);
});
