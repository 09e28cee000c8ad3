/** What stays of a conversation: what waits in it, its branches, and what a reload finds. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { Talk, last, places, settle, shown, turn } from "../support/talk.js";

let talk: Talk;
beforeEach(() => void (talk = new Talk()));
afterEach(() => talk.end());

describe("what waits", () => {
  it("is sent in its order, once each", async () => {
    const one = await talk.open();
    for (const text of ["one", "two", "three"]) one.ask(text);
    await settle();
    expect(one.queue.entries.peek().map(({ content }) => content)).toEqual(["two", "three"]);
    for (const answer of ["1", "2", "3"]) {
      talk.service.run.say(answer);
      talk.service.run.end();
      await settle();
    }
    expect(shown(one)).toEqual(["one", "1", "two", "2", "three", "3"]);
    expect(talk.service.runs.length).toBe(3);
  });

  it("is not sent after an error, but behind the next question", async () => {
    const one = await talk.open();
    for (const text of ["one", "two"]) one.ask(text);
    await settle();
    talk.service.run.send({ type: "error", error: "", message: "away", code: "upstream_unreachable", retryable: true });
    await settle(1000);
    expect([talk.service.runs.length, one.queue.held.peek(), turn(one).problem?.kind]).toEqual([1, true, "provider"]);
    one.retry(last(one));
    await settle();
    talk.service.run.end();
    await settle();
    expect(talk.service.run.body.message).toBe("two");
  });

  it("leaves alone what is typed meanwhile, as a retry does", async () => {
    const data = talk.page();
    const one = await talk.open(undefined, data);
    for (const text of ["one", "two"]) one.ask(text);
    await settle();
    const id = one.id.peek()!;
    data.drafts.set(id, "typed");
    talk.service.run.end();
    await settle();
    expect([talk.service.run.body.message, data.drafts.get(id)]).toEqual(["two", "typed"]);
    talk.service.run.send({ type: "error", error: "", message: "", code: "upstream_error", retryable: true });
    await settle();
    one.retry(last(one));
    await settle();
    expect([turn(one).state, data.drafts.get(id)]).toEqual(["starting", "typed"]);
    one.ask("more");
    expect(data.drafts.get(id)).toBe("typed");
  });

  it("goes back to the box at a stop", async () => {
    const one = await talk.open();
    for (const text of ["one", "two", "three"]) one.ask(text);
    await settle();
    talk.service.run.say("1");
    await settle();
    void one.stop();
    await settle();
    expect([one.box.peek(), one.queue.entries.peek(), talk.service.runs.length]).toEqual([{ text: "two\n\nthree" }, [], 1]);
  });

  it("is sent now: the answer is stopped first, and the others wait on", async () => {
    const one = await talk.open();
    for (const text of ["one", "two", "three"]) one.ask(text);
    await settle();
    talk.service.run.say("1");
    await settle();
    void one.sendNow(one.queue.entries.peek()[1]!.id);
    await settle();
    expect([talk.service.runs[0]!.stops, talk.service.run.body.message, shown(one)]).toEqual([1, "three", ["one", "1", "three", ""]]);
    expect(one.queue.entries.peek().map(({ content }) => content)).toEqual(["two"]);
  });

  it("survives a reload, and an answer's end then", async () => {
    const one = await talk.open();
    one.ask("one");
    await settle();
    one.ask("two");
    const again = await talk.reload(one.id.peek());
    expect(again.queue.entries.peek().map(({ content }) => content)).toEqual(["two"]);
    talk.service.run.end();
    await settle();
    expect([talk.service.run.body.message, again.queue.entries.peek()]).toEqual(["two", []]);
  });

  it("waits for the person after a reload where the answer before it is over", async () => {
    const one = await talk.open();
    one.ask("one");
    await settle();
    one.ask("two");
    talk.leave();
    talk.service.run.end();
    const again = await talk.open(one.id.peek());
    expect([again.queue.held.peek(), talk.service.runs.length]).toEqual([true, 1]);
  });

  it("is sent once where two tabs have it", async () => {
    const one = await talk.open();
    one.ask("one");
    await settle();
    one.ask("two");
    const other = await talk.open(one.id.peek(), talk.page());
    talk.service.run.end();
    await settle();
    expect([talk.service.runs.length, shown(one), shown(other)]).toEqual([2, ["one", "", "two", ""], ["one", "", "two", ""]]);
    expect(turn(other).runId).toBe(turn(one).runId);
  });
});

describe("a reload", () => {
  it("goes on after the last event that was shown", async () => {
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    talk.service.run.say("a", "b");
    await settle();
    const again = await talk.reload(one.id.peek());
    talk.service.run.say("c");
    await settle(500);
    expect([shown(again), turn(again).state]).toEqual([["Hello", "abc"], "answering"]);
    expect(talk.service.runs.length).toBe(1);
  });

  it("shows at once what is stored where it knows no cursor", async () => {
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    talk.service.run.say("a", "b");
    talk.leave();
    talk.session.clear();
    talk.service.before = ({ path }) => (path.endsWith("/events") ? new Promise<undefined>(() => {}) : undefined);
    const again = await talk.open(one.id.peek());
    expect([shown(again), turn(again).state]).toEqual([["Hello", "ab"], "catching-up"]);
  });

  it("finds the newest messages, and older ones when they are asked for", async () => {
    talk.service.conversation("c1");
    talk.service.exchange("c1", ...Array.from({ length: 200 }, (_, number) => `text ${number}`));
    const one = await talk.open("c1");
    expect([shown(one).length, shown(one).at(-1), one.older.peek()]).toEqual([60, "text 199", true]);
    await one.loadOlder();
    expect([shown(one).length, shown(one)[0]]).toEqual([120, "text 80"]);
    const found = await one.find(talk.service.messages.get("c1")![10]!.id);
    expect([found?.text, shown(one).length, one.older.peek()]).toEqual(["text 10", 200, false]);
  });

  it("says when a conversation is not there", async () => {
    const one = await talk.open("nothing");
    expect(one.problem.peek()?.kind).toBe("gone");
  });
});

describe("branches", () => {
  it("answers again beside the first answer, and turns between them", async () => {
    const one = await talk.open();
    await talk.exchange(one, "Hello", "first");
    one.regenerate(last(one), { model: "large" });
    await settle();
    expect(talk.service.run.body).toMatchObject({ regenerate: talk.service.messages.get(one.id.peek()!)![1]!.id, model: "large" });
    talk.service.run.say("second");
    talk.service.run.end();
    await settle();
    expect([shown(one), places(one)]).toEqual([["Hello", "second"], ["1/1 2/2"]]);
    one.turnTo(last(one), -1);
    expect([shown(one), places(one)]).toEqual([["Hello", "first"], ["1/1 1/2"]]);
  });

  it("finds the chosen branch again after a reload, and the one it was left at for each fork", async () => {
    const one = await talk.open();
    await talk.exchange(one, "Hello", "first");
    one.regenerate(last(one));
    await settle();
    talk.service.run.say("second");
    talk.service.run.end();
    await settle();
    one.turnTo(last(one), -1);
    await settle(1000);
    const again = await talk.reload(one.id.peek());
    expect([shown(again), places(again)]).toEqual([["Hello", "first"], ["1/1 1/2"]]);
  });

  it("shows the old answer where the new one failed without a word, and keeps both", async () => {
    const one = await talk.open();
    await talk.exchange(one, "Hello", "first");
    one.regenerate(last(one));
    await settle();
    talk.service.run.send({ type: "error", error: "", message: "away", code: "upstream_unreachable", retryable: true });
    await settle();
    expect([shown(one), places(one)]).toEqual([["Hello", "first"], ["1/1 1/2"]]);
  });

  it("edits the first question as a branch", async () => {
    const one = await talk.open();
    await talk.exchange(one, "Hello", "first");
    one.edit(one.steps.peek()[0]!.question!, "Good day");
    await settle();
    expect([talk.service.run.body.parentId, shown(one), places(one)]).toEqual([null, ["Good day", ""], ["2/2 1/1"]]);
  });

  it("reads what another tab has added, and disturbs nothing", async () => {
    const one = await talk.open();
    await talk.exchange(one, "Hello", "first");
    const nodes = one.steps.peek().map(({ answer }) => answer);
    talk.service.exchange(one.id.peek()!, "more", "second");
    await one.reread();
    expect(shown(one)).toEqual(["Hello", "first", "more", "second"]);
    expect(one.steps.peek()[0]!.answer).toBe(nodes[0]);
  });
});
