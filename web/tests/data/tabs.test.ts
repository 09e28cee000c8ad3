/** The same conversation in several tabs: what waits is sent once, and only behind what it waits for. */

import { afterEach, beforeEach, expect, it } from "vitest";

import type { Data } from "../../src/data/index.js";
import { refuse, storage } from "../support/service.js";
import { last, settle, shown, Talk, turn } from "../support/talk.js";

let talk: Talk;
beforeEach(() => void (talk = new Talk()));
afterEach(() => talk.end());

/** Return a tab of its own, and what lets it hear nothing of the service. */
function tab(): { data: Data; deaf: (is: boolean) => void } {
  let away = false;
  const { fetch } = talk.service;
  const session = storage();
  const data = talk.page({ session: () => session, fetch: (...of) => (away ? Promise.reject(new TypeError("Failed to fetch")) : fetch(...of)) });
  return { data, deaf: (is) => (away = is) };
}

const messages = () => talk.service.runs.map(({ body }) => body.message);
const waits = ({ queue }: { queue: Awaited<ReturnType<Talk["open"]>>["queue"] }) => queue.entries.peek().map(({ content }) => content);
const heard = () => dispatchEvent(new Event("storage"));

/** Open a conversation in two tabs, of which the second one has heard of the first question only. */
async function behind() {
  const [here, elsewhere] = [tab(), tab()];
  const one = await talk.open(undefined, here.data);
  one.ask("one");
  await settle();
  const other = await talk.open(one.id.peek(), elsewhere.data);
  for (const text of ["two", "three"]) one.ask(text);
  heard();
  elsewhere.deaf(true);
  talk.service.run.cut();
  await settle(5000);
  talk.service.run.end();
  await settle(5000);
  heard();
  expect([messages(), waits(one), waits(other), turn(other).state]).toEqual([["one", "two"], ["three"], ["three"], "offline"]);
  elsewhere.deaf(false);
  await settle(10_000);
  expect(other.steps.peek()[0]!.answer!.turn!.peek().state).toBe("complete");
  return { one, other, here: here.data };
}

it("a tab that hears late of the end of an answer does not send the question behind the next one", async () => {
  const { one, other } = await behind();
  expect([messages(), waits(one), waits(other)]).toEqual([["one", "two"], ["three"], ["three"]]);
  talk.service.run.end();
  await settle(5000);
  heard();
  await other.reread();
  await settle();
  expect([messages(), waits(one), waits(other), talk.service.runs.at(-1)!.body.parentId]).toEqual([
    ["one", "two", "three"], [], [], one.steps.peek()[1]!.answer!.id,
  ]);
});

it("what waits is sent by another tab where the one that sent the question before is gone", async () => {
  const { other, here } = await behind();
  here.close();
  await other.reread();
  await settle();
  expect(shown(other)).toEqual(["one", "", "two", ""]);
  talk.service.run.end();
  await settle();
  expect([messages(), waits(other)]).toEqual([["one", "two", "three"], []]);
});

it("what waits is sent by a tab that hears of the answer when it is over", async () => {
  const { other, here } = await behind();
  here.close();
  talk.service.run.end();
  await other.reread();
  await settle();
  expect([messages(), waits(other)]).toEqual([["one", "two", "three"], []]);
});

it("after an error what waits is held in each tab, also in one that reads of it later", async () => {
  const { one, other } = await behind();
  talk.service.run.send({ type: "error", error: "", message: "", code: "upstream_error", retryable: true });
  await settle(5000);
  await other.reread();
  await settle();
  expect([messages(), one.queue.held.peek(), other.queue.held.peek()]).toEqual([["one", "two"], true, true]);
  one.retry(last(one));
  await settle();
  await other.reread();
  await settle();
  expect([one.queue.held.peek(), other.queue.held.peek()]).toEqual([false, false]);
  talk.service.run.end();
  await settle(5000);
  expect(messages().filter((text) => text === "three").length).toBe(1);
});

it("a stop that comes when the answer is complete sends nothing that waits", async () => {
  const one = await talk.open();
  for (const text of ["one", "two"]) one.ask(text);
  await settle();
  talk.service.before = ({ path }) => {
    if (path.endsWith("/stop")) talk.service.run.end();
    return undefined;
  };
  void one.stop();
  await settle(5000);
  expect([turn(one).state, messages(), waits(one), one.box.peek()]).toEqual(["complete", ["one"], [], { text: "two" }]);
});

it("a question that two tabs send at once, each behind another version, is asked once", async () => {
  // What one takes out, the other one does not hear of in time.
  const late = storage();
  const one = await talk.open();
  await talk.exchange(one, "one", "1");
  one.regenerate(last(one));
  await settle();
  const other = await talk.open(one.id.peek(), talk.page({ local: () => late, session: () => late }));
  other.turnTo(last(other), -1);
  one.ask("two");
  const name = `stream-serve.queue.${one.id.peek()}`;
  late.setItem(name, talk.local.getItem(name)!);
  heard();
  talk.service.run.say("2");
  talk.service.run.end();
  await settle(5000);
  const { runs } = talk.service;
  const sent = talk.service.of("POST", "ai/chat/stream-sse").filter(({ body }) => body.message === "two");
  expect(new Set(sent.map(({ body }) => body.parentId)).size).toBe(2);
  expect(runs.filter(({ body }) => body.message === "two").length).toBe(1);
  for (const tab of [one, other]) expect([turn(tab).state, turn(tab).runId]).toEqual(["starting", runs.at(-1)!.id]);
});

it("a conversation whose first reading failed can be read to its beginning when it is read anew", async () => {
  talk.service.conversation("c");
  talk.service.exchange("c", ...Array.from({ length: 140 }, (_, at) => `${at}`));
  let away = true;
  talk.service.before = ({ path }) => (away && path.endsWith("/messages") ? refuse(500, "") : undefined);
  const one = await talk.open("c");
  expect([one.problem.peek()?.kind, one.older.peek()]).toEqual(["defect", false]);
  away = false;
  await one.reread();
  expect([one.problem.peek(), one.older.peek()]).toEqual([undefined, true]);
  while (one.older.peek()) await one.loadOlder();
  expect(shown(one).length).toBe(140);
});
