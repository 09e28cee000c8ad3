/** A conversation against a service in memory: asked, cut, stopped, and without a storage. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { actions } from "../../src/turn/index.js";
import { json, refuse } from "../support/service.js";
import { Talk, last, places, settle, shown, turn } from "../support/talk.js";

let talk: Talk;
beforeEach(() => void (talk = new Talk()));
afterEach(() => talk.end());

describe("asking", () => {
  it("shows the question at once, and the answer as it comes", async () => {
    const data = talk.page();
    const one = await talk.open(undefined, data);
    one.ask("Hello\nthere");
    expect([shown(one), turn(one).state]).toEqual([["Hello\nthere", ""], "sending"]);
    await settle();
    expect([turn(one).state, one.id.peek(), data.list.conversations.peek()[0]?.title]).toEqual(["starting", [...talk.service.conversations.keys()][0], "Hello"]);
    talk.service.run.say("Hel", "lo");
    await settle();
    expect([shown(one)[1], turn(one).state, one.live.peek()]).toEqual(["Hello", "answering", last(one)]);
    talk.service.run.end();
    await settle();
    expect([turn(one).state, one.live.peek(), data.list.conversations.peek()[0]?.liveRunId]).toEqual(["complete", undefined, null]);
  });

  it("goes on in the conversation, below the answer that is shown, with what is chosen", async () => {
    const one = await talk.open();
    one.preferences.set({ model: "small", thinking: true, systemPrompt: "Be brief", temperature: 0, maxTokens: 9 });
    await talk.exchange(one, "one", "1");
    const answer = last(one).id;
    await talk.exchange(one, "two", "2");
    expect(talk.service.run.body).toMatchObject({
      conversationId: one.id.peek(), parentId: answer, message: "two",
      model: "small", enableThinking: true, systemPrompt: "Be brief", temperature: 0, maxTokens: 9, onDisconnect: "continue",
    });
    expect(shown(one)).toEqual(["one", "1", "two", "2"]);
  });

  it("lets what is asked before it has read what is there wait, and sends it below that", async () => {
    talk.service.conversation("c");
    talk.service.exchange("c", "q", "a");
    const one = talk.page().open("c");
    one.ask("early");
    expect(one.queue.entries.peek().length).toBe(1);
    await settle();
    expect([shown(one), one.queue.entries.peek()]).toEqual([["q", "a", "early", ""], []]);
    expect(talk.service.run.body).toMatchObject({ conversationId: "c", parentId: one.steps.peek()[0]!.answer!.id });
  });

  it("knows its own question when it reads it before its start", async () => {
    const one = await talk.open();
    await talk.exchange(one, "Hello", "first");
    let arrive = () => {};
    talk.service.late = new Promise((resolve) => (arrive = resolve));
    one.ask("more");
    await settle();
    await one.reread();
    expect([shown(one), turn(one).state]).toEqual([["Hello", "first", "more", ""], "sending"]);
    arrive();
    await settle();
    talk.service.run.say("second");
    await settle();
    expect([shown(one), places(one)]).toEqual([["Hello", "first", "more", "second"], ["1/1 1/1", "1/1 1/1"]]);
  });

  it("keeps the draft until the start, and moves what was typed since to the conversation's id", async () => {
    const data = talk.page();
    const one = await talk.open(undefined, data);
    let answer = () => {};
    talk.service.before = ({ path }) => (path === "ai/chat/stream-sse" ? new Promise<undefined>((resolve) => (answer = () => resolve(undefined))) : undefined);
    one.ask("Hello");
    await settle();
    const home = one.place;
    data.drafts.set(home, "the next");
    expect(data.drafts.pending(home)).toMatchObject([{ text: "Hello" }]);
    answer();
    await settle();
    expect([data.drafts.pending(home), data.drafts.get(home), data.drafts.get(one.id.peek()!)]).toEqual([[], "", "the next"]);
  });

  it("gives a question back to the box that no service had before the page was left", async () => {
    talk.service.before = ({ path }) => (path === "ai/chat/stream-sse" ? new Promise<undefined>(() => {}) : undefined);
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    talk.service.before = () => undefined;
    const again = await talk.reload();
    expect(again.box.peek()).toEqual({ text: "Hello" });
    expect(talk.service.runs.length).toBe(0);
  });

  it("says when it is not sent, and sends the same again in its place", async () => {
    talk.service.before = ({ path }) => (path === "ai/chat/stream-sse" ? refuse(429, "too_many_runs", { "Retry-After": "5" }) : undefined);
    const data = talk.page();
    const one = await talk.open(undefined, data);
    one.ask("Hello");
    await settle();
    expect(data.problem.peek()).toBeUndefined(); // the turn has it
    expect(turn(one)).toMatchObject({ state: "failed", phase: "sending", problem: { kind: "rate", retryAt: Date.now() + 5000 } });
    expect(actions(turn(one))).toContain("retry");
    talk.service.before = () => undefined;
    one.retry(last(one));
    await settle();
    expect([shown(one), places(one), turn(one).state]).toEqual([["Hello", ""], ["1/1 1/1"], "starting"]);
  });

  it("goes on behind what the service has, and not behind what it never had", async () => {
    const one = await talk.open();
    await talk.exchange(one, "Hello", "first");
    const answer = last(one).id;
    talk.service.before = ({ path }) => (path === "ai/chat/stream-sse" ? refuse(503, "full") : undefined);
    one.ask("more");
    await settle(5000);
    expect(turn(one).state).toBe("failed");
    talk.service.before = () => undefined;
    one.ask("other");
    await settle();
    expect([talk.service.run.body.parentId, shown(one), places(one)[1]]).toEqual([answer, ["Hello", "first", "other", ""], "2/2 1/1"]);
  });

  it("joins the run that began unheard of", async () => {
    const one = await talk.open();
    let away = true;
    talk.service.before = ({ path }) => (away && path === "ai/chat/stream-sse" ? Promise.reject(new TypeError("Failed to fetch")) : undefined);
    one.ask("Hello");
    await settle(10_000);
    const { runId, state } = turn(one);
    expect(state).toBe("failed");
    away = false;
    one.retry(last(one));
    await settle();
    expect([turn(one).runId, talk.service.run.id]).toEqual([runId, runId]);
  });

  it("is asked with a new id after a stop before its start", async () => {
    talk.service.before = ({ path }) => (path.startsWith("ai/chat") ? new Promise<undefined>(() => {}) : path.endsWith("/stop") ? refuse(404, "run_not_found") : undefined);
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    void one.stop();
    await settle();
    const { state, runId, phase } = turn(one);
    expect([state, phase, one.box.peek()]).toEqual(["stopped", "sending", { text: "Hello" }]);
    talk.service.before = () => undefined;
    one.regenerate(last(one));
    await settle();
    expect([turn(one).state, places(one), talk.service.run.id === runId]).toEqual(["starting", ["1/1 1/1"], false]);
  });

  it("asks for the key, and goes on with the same question", async () => {
    talk.service.before = ({ key }) => (key === "Bearer right" ? undefined : refuse(401, "unauthorized"));
    const data = talk.page();
    const one = await talk.open(undefined, data);
    one.ask("Hello");
    await settle();
    expect([data.keys.wanted.peek(), turn(one).problem?.kind]).toEqual(["person", "key"]);
    data.keys.give("right");
    await settle();
    expect([shown(one), turn(one).state, data.list.problem.peek()]).toEqual([["Hello", ""], "starting", undefined]);
  });
});

describe("the connection", () => {
  it("goes on where it was, and says so", async () => {
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    talk.service.run.say("a");
    await settle();
    talk.service.run.cut();
    await settle();
    expect(turn(one).state).toBe("offline");
    talk.service.run.say("b");
    await settle(300);
    expect([turn(one).state, shown(one)[1]]).toEqual(["catching-up", "ab"]);
    await settle(400);
    expect(turn(one).state).toBe("answering");
  });

  it("is tried again at once when the person says so", async () => {
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    talk.service.run.say("a");
    talk.service.before = () => Promise.reject(new TypeError("Failed to fetch"));
    talk.service.run.cut();
    await settle(20_000);
    expect(turn(one).state).toBe("offline");
    talk.service.before = () => undefined;
    talk.service.run.say("b");
    one.tryNow();
    await settle();
    expect([turn(one).state, shown(one)[1]]).toEqual(["catching-up", "ab"]);
    await settle(60_000);
    expect(turn(one).state).toBe("answering");
  });

  it("is not said to be lost while nobody sees the page", async () => {
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    talk.service.run.say("a");
    await settle();
    const visibility = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    talk.service.before = () => Promise.reject(new TypeError("Failed to fetch"));
    talk.service.run.cut();
    await settle(2000);
    expect(turn(one).state).toBe("answering");
    visibility.mockRestore();
    document.dispatchEvent(new Event("visibilitychange"));
    await settle();
    expect(turn(one).state).toBe("offline");
    talk.service.before = () => undefined;
    await settle(20_000);
    expect(turn(one).state).toBe("answering");
  });

  it("says when nothing is heard of a question for three seconds", async () => {
    talk.service.before = ({ path }) => (path === "ai/chat/stream-sse" ? new Promise<undefined>(() => {}) : undefined);
    const one = await talk.open();
    one.ask("Hello");
    await settle(3000);
    expect(turn(one)).toMatchObject({ state: "sending", slow: true });
  });

  it("reads the conversation anew where the run is not known any more, and shows no error", async () => {
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    talk.service.run.say("Hel");
    await settle();
    talk.service.run.answer!.content = "Hello";
    talk.service.run.answer!.status = "interrupted";
    const lost = talk.service.runs.pop()!;
    lost.cut();
    await settle(500);
    expect(turn(one)).toMatchObject({ state: "cut", text: "Hello" });
    expect([turn(one).problem, actions(turn(one))]).toEqual([undefined, ["retry", "continue", "copy", "edit"]]);
  });
});

describe("a stop", () => {
  it("lets go of the reader, gets its receipt, and keeps the text", async () => {
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    talk.service.run.say("Hel");
    await settle();
    let readers = -1;
    talk.service.before = ({ path }) => {
      if (path.endsWith("/stop")) readers = talk.service.run.readers;
      return undefined;
    };
    const stopped = one.stop();
    expect(turn(one).state).toBe("stopping");
    await settle();
    await stopped;
    expect(turn(one)).toMatchObject({ state: "stopped", text: "Hel", receipt: { upstreamClosed: true, latencyMs: 12 } });
    expect([talk.service.run.stops, readers]).toEqual([1, 0]);
  });

  it("has all that the service stored before it, and nothing after its mark", async () => {
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    talk.service.run.say("Hel");
    await settle();
    talk.service.before = ({ path }) => void (path.endsWith("/stop") && talk.service.run.say("lo"));
    void one.stop();
    await settle();
    expect(turn(one)).toMatchObject({ state: "stopped", text: "Hello" });
    for (const status of ["generating", "stopped"] as const) {
      Object.assign(talk.service.run.answer!, { status, content: "Hello you" });
      await one.reread();
      await settle(1000);
      expect(turn(one)).toMatchObject({ state: "stopped", text: "Hello" });
    }
  });

  it("before the first word gives the question back to an empty box, and keeps the turn", async () => {
    const data = talk.page();
    const one = await talk.open(undefined, data);
    one.ask("Hello");
    await settle();
    void one.stop();
    await settle();
    expect([one.box.peek(), data.drafts.get(one.id.peek()!), turn(one).state]).toEqual([{ text: "Hello" }, "Hello", "stopped"]);
  });

  it("says when it is not confirmed, and when it is", async () => {
    const one = await talk.open();
    one.ask("Hello");
    await settle();
    talk.service.run.say("a");
    await settle();
    talk.service.before = () => Promise.reject(new TypeError("Failed to fetch"));
    talk.service.run.cut();
    await settle();
    void one.stop();
    await settle(1000);
    expect(turn(one).state).toBe("stopping-unconfirmed");
    talk.service.before = () => undefined;
    await settle(20_000);
    expect(turn(one)).toMatchObject({ state: "stopped", text: "a", receipt: { outcome: "stopped" } });
  });

  it("is shown in every tab", async () => {
    const [one, other] = [await talk.open(), await talk.open()];
    one.ask("Hello");
    await settle();
    talk.service.run.say("a");
    const seen = await talk.open(one.id.peek(), talk.opened[1]);
    await settle();
    expect([shown(seen), seen.live.peek()?.id]).toEqual([["Hello", "a"], last(one).id]);
    void seen.stop();
    await settle();
    expect([turn(one).state, turn(seen).state]).toEqual(["stopped", "stopped"]);
    expect(other.steps.peek()).toEqual([]);
  });
});

describe("without a storage", () => {
  const away = ({ path, body }: { path: string; body: any }) =>
    path.startsWith("ai/conversations") || body?.conversationId ? refuse(503, "history_unavailable", { "Retry-After": "30" }) : undefined;

  it("answers all the same, and says that it keeps nothing", async () => {
    talk.service.before = away;
    const data = talk.page();
    const one = await talk.open(undefined, data);
    one.ask("Hello");
    await settle();
    expect([turn(one).state, data.storage.peek(), one.id.peek()]).toEqual(["starting", "away", undefined]);
    talk.service.run.say("first");
    talk.service.run.end();
    await settle();
    await talk.exchange(one, "more", "second");
    expect(talk.service.run.body.messages).toEqual([
      { role: "user", content: "Hello" }, { role: "assistant", content: "first" }, { role: "user", content: "more" },
    ]);
    expect([shown(one), data.drafts.pending(one.place)]).toEqual([["Hello", "first", "more", "second"], []]);
    one.regenerate(last(one));
    await settle();
    expect([talk.service.run.body.messages.length, places(one)]).toEqual([3, ["1/1 1/1", "1/1 2/2"]]);
  });

  it("goes on in the page below what was stored", async () => {
    const one = await talk.open();
    await talk.exchange(one, "Hello", "first");
    talk.service.before = away;
    await talk.exchange(one, "more", "second");
    talk.service.before = () => undefined;
    await talk.exchange(one, "again", "third");
    expect(talk.service.run.body.messages.map(({ content }: any) => content)).toEqual(["Hello", "first", "more", "second", "again"]);
  });
});

it("keeps what a reader thinks of an answer, and takes it back where that is refused", async () => {
  const one = await talk.open();
  await talk.exchange(one, "Hello", "first");
  await one.rate(last(one), "up");
  expect([last(one).feedback.peek(), talk.service.messages.get(one.id.peek()!)![1]!.feedback]).toEqual(["up", "up"]);
  talk.service.before = () => refuse(503, "history_unavailable");
  await one.rate(last(one), "down");
  expect([last(one).feedback.peek(), one.problem.peek()?.kind]).toEqual(["up", "storage"]);
});

it("lets an answer go on that is not seen, in its own conversation", async () => {
  const data = talk.page();
  const one = await talk.open(undefined, data);
  one.ask("Hello");
  await settle();
  const first = talk.service.run;
  const other = await talk.open(undefined, data);
  expect(other).not.toBe(one);
  await talk.exchange(other, "else", "other");
  first.say("mine");
  first.end();
  await settle();
  expect([shown(one), shown(other), data.open(one.id.peek())]).toEqual([["Hello", "mine"], ["else", "other"], one]);
});

it("reads what the page needs first", async () => {
  talk.service.before = ({ path }) => (path === "ai/info" ? json({ name: "stream-serve", version: "1", demo: true, authRequired: false, model: "m" }) : undefined);
  talk.service.conversation("c1");
  const data = talk.page();
  await data.start();
  expect([data.info.peek()?.model, data.models.peek()?.models, data.list.conversations.peek().length, data.storage.peek()]).toEqual(["m", [], 1, "there"]);
});
