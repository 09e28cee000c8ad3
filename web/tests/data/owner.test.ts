/** Another key or token: what was read in the former one's name leaves the page. */

import { afterEach, beforeEach, expect, it } from "vitest";

import { follow } from "../../src/shell/follow.js";
import { Place } from "../../src/shell/place.js";
import { json, refuse } from "../support/service.js";
import { settle, Talk } from "../support/talk.js";

let talk: Talk;

beforeEach(() => void (talk = new Talk()));
afterEach(() => {
  history.replaceState(null, "", "/");
  talk.end();
});

/** The service has conversations for the key "mine" alone. */
async function mine() {
  talk.service.conversation("c", "A secret");
  talk.service.exchange("c", "Hi");
  talk.service.before = ({ path, key }) => {
    if (!path.startsWith("ai/conversations") || key?.endsWith("mine")) return undefined;
    if (!key) return refuse(401, "unauthorized");
    return path === "ai/conversations" ? json({ conversations: [], nextCursor: null, matches: {}, indexing: false }) : refuse(404, "conversation_not_found");
  };
  history.replaceState(null, "", "/c/c");
  const data = talk.page();
  data.keys.give("mine");
  const open = follow(data, new Place(new URL("/", location.href).href));
  await data.start();
  await settle();
  data.search.set("secret");
  data.search.now();
  await settle();
  expect([data.list.conversations.peek().length, open.peek().steps.peek().length]).toEqual([1, 1]);
  expect(data.search.found.peek()?.query).toBe("secret");
  return { data, open };
}

it.each(["theirs", ""])("the key %j shows nothing that another one could read", async (key) => {
  const { data, open } = await mine();
  const before = open.peek();
  data.keys.give(key);
  expect([data.list.conversations.peek(), data.search.query.peek(), data.search.found.peek()]).toEqual([[], "", undefined]);
  expect([open.peek() === before, open.peek().steps.peek()]).toEqual([false, []]);
  await settle();
  expect([data.list.conversations.peek(), open.peek().steps.peek()]).toEqual([[], []]);
});

it("the same key again leaves all as it is", async () => {
  const { data, open } = await mine();
  const before = open.peek();
  data.keys.give("mine");
  await settle();
  expect([open.peek() === before, data.list.conversations.peek().length, data.closed.peek()]).toEqual([true, 1, 0]);
});

it("an answer to the former one's request that comes late is not shown", async () => {
  const { data, open } = await mine();
  const { before } = talk.service;
  let answer!: () => void;
  const held = new Promise<undefined>((resolve) => (answer = () => resolve(undefined)));
  talk.service.before = (asked) => (asked.key?.endsWith("mine") ? held : before!(asked));
  void open.peek().reread();
  void data.list.load();
  await settle();
  data.keys.give("theirs");
  answer();
  await settle();
  expect([data.list.conversations.peek(), open.peek().steps.peek()]).toEqual([[], []]);
});

it("what one asked who came and went before the answer is not shown", async () => {
  const { data, open } = await mine();
  const { before } = talk.service;
  let answer!: () => void;
  const held = new Promise<undefined>((resolve) => (answer = () => resolve(undefined)));
  talk.service.before = (asked) => (asked.key?.endsWith("mine too") ? held : before!(asked));
  data.keys.give("mine too");
  await settle();
  data.keys.give("theirs");
  answer();
  await settle();
  expect([data.list.conversations.peek(), open.peek().steps.peek()]).toEqual([[], []]);
});

it("what is asked when the key is wrong from the start goes on with the right one", async () => {
  talk.service.before = ({ key }) => (key?.endsWith("right") ? undefined : refuse(401, "unauthorized"));
  const data = talk.page();
  data.keys.give("wrong");
  await data.start();
  const one = await talk.open(undefined, data);
  one.ask("Hello");
  await settle();
  data.keys.give("right");
  await settle();
  expect([data.closed.peek(), talk.service.run.body.message]).toEqual([0, "Hello"]);
});
