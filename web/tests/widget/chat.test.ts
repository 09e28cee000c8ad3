/** The script in a page of somebody else: which element it belongs to, and the token that it hands over. */

import { afterEach, beforeEach, expect, it } from "vitest";

import { Chat } from "../../src/widget/chat.js";
import { ownScript, type Options } from "../../src/widget/options.js";

const SERVICE = "https://ai.example";
const OPTIONS: Options = { service: new URL(`${SERVICE}/`), position: "right", title: "", language: "en", theme: "", button: true };
let chat: Chat;
let tokens: string[];

beforeEach(() => {
  chat = new Chat(OPTIONS, "Chat", { state() {}, leave() {} });
  document.body.append(chat.element);
  tokens = [];
  chat.element.contentWindow!.postMessage = (({ token }: { token: string }, to: string) => {
    expect(to).toBe(SERVICE);
    tokens.push(token);
  }) as typeof postMessage;
});
afterEach(() => {
  chat.close();
  document.body.replaceChildren();
});

function hear(type: string): void {
  const source = chat.element.contentWindow;
  dispatchEvent(Object.assign(new Event("message"), { source, origin: SERVICE, data: { type: `stream-serve:${type}` } }));
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

it("hands over each token that the page sets once the chat listens, and that there is none any more", async () => {
  chat.token = () => "early";
  await settled();
  expect(tokens).toEqual([]);
  hear("ready");
  hear("token-wanted");
  await settled();
  chat.token = () => "another";
  await settled();
  chat.token = undefined;
  await settled();
  expect(tokens).toEqual(["early", "another", ""]);
});

it("hands over no token of a promise that a newer one has replaced", async () => {
  hear("ready");
  let late!: (token: string) => void;
  chat.token = () => new Promise<string>((resolve) => (late = resolve));
  chat.token = () => "new";
  await settled();
  late("old");
  await settled();
  expect(tokens).toEqual(["new"]);
});

it("as a module takes the script that says where the service is, and nothing that only has a name like it", () => {
  const add = (name: string, attributes: Record<string, string>) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    document.body.append(element);
    return element;
  };
  add("img", { name: "currentScript", src: "https://evil.test/widget.js", "data-service": "https://evil.test" });
  add("script", { type: "module", src: "https://evil.test/widget.js" });
  expect(ownScript()).toBeUndefined();
  const own = add("script", { type: "module", src: `${SERVICE}/any.js`, "data-service": SERVICE });
  expect(ownScript()).toBe(own);
});
