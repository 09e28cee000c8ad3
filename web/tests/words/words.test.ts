/** The words: whole in both languages, with the same values in them. */

import { readFileSync, readdirSync } from "node:fs";
import { beforeEach, expect, test } from "vitest";

import source from "../../src/page.html?raw";
import { effect } from "../../src/signal.js";
import { en, widget as enWidget } from "../../src/words/en.js";
import { language, preferred, say, textWords, type Key } from "../../src/words/index.js";
import { widget as zhWidget, zh } from "../../src/words/zh.js";

const KEYS = Object.keys(en) as Key[];
const names = (text: string) => new Set([...text.matchAll(/\{(\w+)/g)].map(([, name]) => name));

beforeEach(() => {
  language.value = "en";
});

test("both languages have the same keys in the same order, and words for each", () => {
  expect(Object.keys(zh)).toEqual(KEYS);
  for (const key of KEYS) {
    expect(en[key].trim(), key).not.toBe("");
    expect(zh[key].trim(), key).not.toBe("");
  }
});

/** A word is said by its key, or by the end of one, which is the name of a state, a kind or a group. */
test("each word is said somewhere", () => {
  const sources = readdirSync("src", { recursive: true }).filter((path) => /(?<!\.d)\.ts$/.test(path) && !/^words.(?:en|zh)\.ts$/.test(path));
  const code = sources.map((path) => readFileSync(`src/${path}`, "utf8")).join("\n");
  const said = (key: string) => code.includes(`"${key}"`);
  const made = (key: string) => {
    const [room, end] = key.split(".") as [string, string];
    return code.includes(`\`${room}.\${`) && code.includes(`"${end}"`);
  };
  expect(KEYS.filter((key) => !said(key) && !made(key))).toEqual([]);
});

test("the widget has the same words in both languages, with the same values", () => {
  expect(Object.keys(zhWidget)).toEqual(Object.keys(enWidget));
  for (const [key, words] of Object.entries(enWidget)) {
    const other = zhWidget[key as keyof typeof enWidget];
    expect(names(other), key).toEqual(names(words));
    expect(other, key).toMatch(/\p{Script=Han}/u);
  }
});

test("no value is in one language that is not in the other", () => {
  for (const key of KEYS) {
    const [some, others] = [names(en[key]), names(zh[key])];
    for (const name of others) expect(some, key).toContain(name);
    for (const name of some) expect(others, key).toContain(name);
  }
});

test("what is said in Chinese is Chinese, with its own punctuation", () => {
  const alike = KEYS.filter((key) => !/\p{Script=Han}/u.test(zh[key].replace(/\{[^}]*\}/g, "")));
  expect(alike).toEqual(["page.answering", "settings.context", "turns.branch", "turns.tokens"]);
  for (const key of KEYS) expect(zh[key], key).not.toMatch(/\p{Script=Han}[,.?!:;]/u);
});

test("a number chooses between one and many, and is written as the language writes it", () => {
  expect(say("voice.complete", { words: 1 })).toBe("Answer complete, 1 word");
  expect(say("voice.complete", { words: 1240 })).toBe("Answer complete, 1,240 words");
  language.value = "zh";
  expect(say("voice.complete", { words: 1240 })).toBe("回答完成，1,240 字");
});

test("a value is put in as it is, whatever stands in it", () => {
  expect(say("side.deleted", { title: "{count} $& {a|b|c}" })).toBe("“{count} $& {a|b|c}” is deleted.");
  expect(say("side.deleted")).toBe("“” is deleted.");
});

test("what was said follows the language", () => {
  const said: string[] = [];
  const end = effect(() => void said.push(say("box.send")));
  language.value = "zh";
  end();
  language.value = "en";
  expect(said).toEqual(["Send", "发送"]);
});

test("the first language of the browser that there are words for is spoken, else English", () => {
  expect(preferred(["de-DE", "zh-TW", "en"])).toBe("zh");
  expect(preferred(["zho"])).toBe("en");
  expect(preferred(["EN-gb", "zh-CN"])).toBe("en");
  expect(preferred([])).toBe("en");
});

test("what a turn says has its numbers, and the controls of a text have their names", () => {
  expect(say("turn.stoppedClosed", { ms: 12 })).toBe("Stopped, the provider's connection closed after 12 ms");
  const { picture } = textWords();
  expect(picture("example.org", "")).toBe("Load a picture from example.org");
  expect(picture("example.org", "A cat")).toBe("Load the picture “A cat” from example.org");
});

test("no word of the page is in a page, or in the code of the frame", () => {
  const html = source.replace(/<noscript>[^]*?<\/noscript>|<title>[^]*?<\/title>|stream-serve/g, "");
  expect(html.replace(/<[^>]+>/g, "").trim()).toBe("");
});
