/** One answer at a time, and what waits in its order. */

import { afterEach, beforeEach, expect, it } from "vitest";

import { refuse } from "../support/service.js";
import { last, settle, shown, Talk } from "../support/talk.js";

let talk: Talk;
beforeEach(() => void (talk = new Talk()));
afterEach(() => talk.end());

it("sends two questions that wanted a key one after the other, in one conversation", async () => {
  talk.service.before = ({ key }) => (key === "Bearer right" ? undefined : refuse(401, "unauthorized"));
  const data = talk.page();
  const one = await talk.open(undefined, data);
  for (const text of ["one", "two"]) {
    one.ask(text);
    await settle();
  }
  data.keys.give("right");
  await settle();
  expect([talk.service.runs.length, one.queue.entries.peek().map(({ content }) => content)]).toEqual([1, ["two"]]);
  talk.service.run.say("1");
  talk.service.run.end();
  await settle();
  expect([shown(one), talk.service.conversations.size]).toEqual([["one", "1", "two", ""], 1]);
  expect(data.drafts.pending(one.place)).toEqual([]);
});

it("answers nothing again while an answer is on its way", async () => {
  const one = await talk.open();
  await talk.exchange(one, "one", "1");
  const answer = last(one);
  one.regenerate(answer);
  one.regenerate(answer);
  one.retry(answer);
  await settle();
  expect(talk.service.runs.length).toBe(2);
});

it("sends what waits when no answer is on its way any more", async () => {
  const one = await talk.open();
  await talk.exchange(one, "one", "1");
  const other = await talk.open(one.id.peek());
  one.ask("two");
  other.regenerate(other.steps.peek()[0]!.answer!);
  await settle();
  await one.reread();
  one.ask("three");
  const [, first, second] = talk.service.runs;
  first!.say("2");
  first!.end();
  await settle();
  expect([talk.service.runs.length, one.queue.entries.peek().length]).toEqual([3, 1]);
  second!.say("again");
  second!.end();
  await settle();
  expect([talk.service.runs.length, one.queue.entries.peek().length]).toEqual([4, 0]);
});
