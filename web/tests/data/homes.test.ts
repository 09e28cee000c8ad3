/** New conversations in tabs that share what the browser keeps: each has its draft and its queue. */

import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { copied, storage } from "../support/service.js";
import { settle, shown, Talk } from "../support/talk.js";

let talk: Talk;

beforeEach(() => void (talk = new Talk()));
afterEach(() => talk.end());

const tab = () => talk.page({ session: ((session) => () => session)(storage()) });
const silent = () => void (talk.service.before = ({ path }) => (path === "ai/chat/stream-sse" ? new Promise<undefined>(() => {}) : undefined));

it("two tabs have a draft and a queue each", async () => {
  const [data, elsewhere] = [tab(), tab()];
  const [one, other] = [await talk.open(undefined, data), await talk.open(undefined, elsewhere)];
  data.drafts.set(one.place, "half a question");
  await settle(300);
  await talk.exchange(other, "Hello", "first");
  expect([data.drafts.get(one.place), elsewhere.drafts.get(other.place), shown(other)]).toEqual(["half a question", "", ["Hello", "first"]]);
  silent();
  one.ask("One");
  one.ask("waits");
  const third = await talk.open(undefined, tab());
  expect([one.queue.entries.peek().length, third.queue.entries.peek()]).toEqual([1, []]);
});

it("what was left in a tab that was closed is in the next new conversation, once", async () => {
  const data = tab();
  const one = await talk.open(undefined, data);
  one.queue.add("waits", "");
  data.drafts.set(one.place, "half a question");
  data.close();
  const again = tab();
  const next = await talk.open(undefined, again);
  expect([again.drafts.get(next.place), next.queue.entries.peek()[0]?.content, next.queue.held.peek()]).toEqual(["half a question", "waits", true]);
  const third = tab();
  const last = await talk.open(undefined, third);
  expect([third.drafts.get(last.place), last.queue.entries.peek()]).toEqual(["", []]);
});

it("what is left in a tab that ended without a word is not kept for ever", async () => {
  talk.local.setItem("stream-serve.home.new.x", String(Date.now()));
  talk.local.setItem("stream-serve.draft.new.x", '"half a question"');
  const data = tab();
  expect(data.drafts.get((await talk.open(undefined, data)).place)).toBe("");
  data.close();
  await vi.advanceTimersByTimeAsync(301_000);
  const again = tab();
  expect(again.drafts.get((await talk.open(undefined, again)).place)).toBe("half a question");
  expect(talk.local.getItem("stream-serve.draft.new.x")).toBeNull();
});

it("a tab that is there for long keeps what is its own, and nothing is left of one that has its id", async () => {
  const data = tab();
  const one = await talk.open(undefined, data);
  data.drafts.set(one.place, "half a question");
  await vi.advanceTimersByTimeAsync(900_000);
  const again = tab();
  expect(again.drafts.get((await talk.open(undefined, again)).place)).toBe("");
  again.close();
  data.drafts.taken(one.place);
  await talk.exchange(one, "Hello", "first");
  data.close();
  const names = Array.from({ length: talk.local.length }, (_, at) => talk.local.key(at)!);
  expect(names.filter((name) => name.endsWith(`.${one.place}`))).toEqual([]);
});

const heard = () => dispatchEvent(new Event("storage"));

it("a tab that is duplicated keeps its draft, its queue and what it has sent, and the other one has its own", async () => {
  const session = storage();
  const data = talk.page({ session: () => session });
  const one = await talk.open(undefined, data);
  silent();
  one.ask("Hello");
  one.ask("waits");
  data.drafts.set(one.place, "half a question");
  await settle(1000);
  const copy = copied(session);
  const other = talk.page({ session: () => copy });
  const opened = await talk.open(undefined, other);
  heard();
  await settle(1000);
  expect([other.drafts.get(opened.place), opened.queue.entries.peek(), opened.box.peek()]).toEqual(["", [], undefined]);
  other.drafts.set(opened.place, "mine");
  await settle(1000);
  expect([data.drafts.get(one.place), one.queue.entries.peek().length, data.drafts.pending(one.place).length]).toEqual(["half a question", 1, 1]);
  other.close();
  const again = talk.page({ session: () => copy });
  expect(again.drafts.get((await talk.open(undefined, again)).place)).toBe("mine");
});

it("a tab that is duplicated beside a question on its way does not take it for its own", async () => {
  const session = storage();
  const data = talk.page({ session: () => session });
  const one = await talk.open(undefined, data);
  await talk.exchange(one, "Hello", "Hi");
  silent();
  one.ask("more");
  await settle(1000);
  const copy = copied(session);
  const other = talk.page({ session: () => copy });
  const opened = other.open(one.id.peek());
  await settle();
  heard();
  await settle(1000);
  expect([other.drafts.get(opened.place), opened.box.peek(), data.drafts.pending(one.place).length]).toEqual(["", undefined, 1]);
});

it("a tab that was killed and is restored has its draft and its queue again", async () => {
  const session = storage();
  const data = talk.page({ session: () => session });
  const one = await talk.open(undefined, data);
  one.queue.add("waits", "");
  data.drafts.set(one.place, "half a question");
  await settle(1000);
  const again = talk.page({ session: () => session });
  const next = await talk.open(undefined, again);
  await settle(500);
  expect([again.drafts.get(next.place), next.box.peek(), next.queue.entries.peek()[0]?.content, next.queue.held.peek()]).toEqual([
    "half a question", { text: "half a question" }, "waits", true,
  ]);
});

it("a clock that is set back hides nothing that was left", async () => {
  talk.local.setItem("stream-serve.home.new.x", String(Date.now() + 3_600_000));
  talk.local.setItem("stream-serve.draft.new.x", '"half a question"');
  const data = tab();
  expect(data.drafts.get((await talk.open(undefined, data)).place)).toBe("half a question");
});
