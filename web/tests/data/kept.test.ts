/** What the browser keeps: drafts, the queue, the key. And titles and dates. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { grouped, titleOf } from "../../src/data/dates.js";
import { Drafts } from "../../src/data/drafts.js";
import { newId } from "../../src/data/ids.js";
import { Keys } from "../../src/data/keys.js";
import { Queue } from "../../src/data/queue.js";
import { Store } from "../../src/data/store.js";
import { Tabs } from "../../src/data/tabs.js";
import { FakeService, storage } from "../support/service.js";
import titles from "../support/titles.json?raw";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const kept = storage();
const tab = new Store(() => kept);
const store = (place = storage()) => new Store(() => place);

describe("drafts", () => {
  it("are kept 300 ms after the last key", () => {
    const place = storage();
    const drafts = new Drafts(store(place), tab);
    drafts.set("c1", "Hel");
    vi.advanceTimersByTime(299);
    drafts.set("c1", "Hello");
    vi.advanceTimersByTime(299);
    expect(place.length).toBe(0);
    vi.advanceTimersByTime(1);
    expect(new Drafts(store(place), tab).get("c1")).toBe("Hello");
  });

  it("are kept at once when the page is left", () => {
    const place = storage();
    new Drafts(store(place), tab).set("new", "Hello");
    dispatchEvent(new Event("pagehide"));
    expect(new Drafts(store(place), tab).get("new")).toBe("Hello");
  });

  it("move with the id, and leave nothing under the old one", () => {
    const place = storage();
    const drafts = new Drafts(store(place), tab);
    drafts.set("new", "the next");
    drafts.move("new", "c1");
    expect([drafts.get("new"), drafts.get("c1"), place.length]).toEqual(["", "the next", 1]);
  });

  it("keep a question until the service has it", () => {
    const place = storage();
    const drafts = new Drafts(store(place), tab);
    drafts.set("new", "Hello");
    drafts.sent("new", "Hello", "r");
    drafts.taken("new");
    expect([drafts.get("new"), new Drafts(store(place), tab).pending("new")]).toEqual(["", [{ text: "Hello", runId: "r", at: Date.now() }]]);
    drafts.arrived("new", "r");
    expect(new Drafts(store(place), tab).pending("new")).toEqual([]);
  });

  it("give a question back to another tab only when the first one must have lost it", () => {
    const place = storage();
    new Drafts(store(place), store()).sent("new", "Hello", "r");
    const other = new Drafts(store(place), store());
    expect(other.pending("new")).toEqual([]);
    vi.advanceTimersByTime(61_000);
    expect(other.pending("new").map(({ text }) => text)).toEqual(["Hello"]);
  });

  it("give a question back before what was typed since", () => {
    const drafts = new Drafts(store(), tab);
    drafts.sent("c1", "one", "r");
    drafts.set("c1", "two");
    expect(drafts.returned("c1", "one")).toBe("one\n\ntwo");
    expect(drafts.get("c1")).toBe("one\n\ntwo");
  });

  it("live in the page where the browser keeps nothing", () => {
    const drafts = new Drafts(new Store(() => { throw new Error("denied"); }), tab);
    drafts.set("c1", "Hello");
    vi.advanceTimersByTime(300);
    expect(drafts.get("c1")).toBe("Hello");
  });
});

it("an older value does not come back where the newer one finds no room", () => {
  const place = storage();
  const full = store(place);
  full.set("draft.new", "Hello");
  place.setItem = () => { throw new DOMException("", "QuotaExceededError"); };
  full.set("draft.new", "Hello there");
  expect([full.get("draft.new"), store(place).get("draft.new")]).toEqual(["Hello there", undefined]);
});

it("what the browser does not remove is gone for the page, and is no cause for a notice", () => {
  const place = storage();
  const stuck = store(place);
  stuck.set("draft.c", "Hello");
  place.removeItem = () => { throw new DOMException("", "SecurityError"); };
  stuck.set("draft.c", undefined);
  expect([stuck.get("draft.c"), stuck.names("draft."), stuck.unkept.peek()]).toEqual([undefined, [], []]);
  stuck.set("draft.c", "Hello again");
  expect([stuck.get("draft.c"), stuck.names("draft."), place.getItem("stream-serve.draft.c")]).toEqual(["Hello again", ["c"], '"Hello again"']);
});

it("says what finds no room, until it does", () => {
  const place = storage();
  const full = store(place);
  const { setItem } = place;
  place.setItem = () => { throw new DOMException("", "QuotaExceededError"); };
  full.set("draft.c", "Hello");
  full.set("queue.c", ["Hello"]);
  full.set("draft.c", undefined);
  expect(full.unkept.peek()).toEqual(["queue.c"]);
  place.setItem = setItem;
  full.set("queue.c", ["Hello"]);
  expect([full.unkept.peek(), place.getItem("stream-serve.queue.c")]).toEqual([[], '["Hello"]']);
});

describe("the queue", () => {
  it("keeps its order, is sent, and is taken back", () => {
    const queue = new Queue(store(), "c1");
    for (const text of ["one", "two", "three"]) queue.add(text, "r");
    expect(queue.withdraw(queue.entries.peek()[0]!.id)?.content).toBe("one");
    expect([queue.send()?.content, queue.send()?.content, queue.send()]).toEqual(["two", "three", undefined]);
  });

  it("lets the first wait behind a run, and each one behind the one before it", () => {
    const queue = new Queue(store(), "c1");
    for (const text of ["one", "two", "three"]) queue.add(text, "r");
    queue.withdraw(queue.entries.peek()[0]!.id);
    expect(queue.behind).toBe("r");
    const two = queue.send()!;
    expect(queue.behind).toBe(two.id);
    const last = queue.send(queue.entries.peek()[0]!.id)!;
    expect([last.content, queue.behind]).toEqual(["three", ""]);
  });

  it("survives a reload, and then waits for the answer before it, or for the person", () => {
    const place = storage();
    new Queue(store(place), "c1").add("one", "r");
    const queue = new Queue(store(place), "c1");
    expect([queue.held.peek(), queue.behind, queue.entries.peek()[0]?.content]).toEqual([true, "r", "one"]);
    queue.answering("another", true);
    expect([queue.held.peek(), queue.behind]).toEqual([true, "r"]);
    queue.answering("r", false);
    expect(queue.held.peek()).toBe(false);
    expect(queue.send()?.content).toBe("one");
    expect(new Queue(store(place), "c1").entries.peek()).toEqual([]);
  });

  it("goes on behind what is asked here, and not behind what another tab asks", () => {
    const queue = new Queue(store(), "c1");
    queue.add("one", "r");
    queue.answering("elsewhere", false);
    expect(queue.behind).toBe("r");
    queue.answering("here", true);
    expect(queue.behind).toBe("here");
  });

  it("loses nothing of what another tab has just put there", () => {
    const place = storage();
    const [here, elsewhere] = [new Queue(store(place), "c1"), new Queue(store(place), "c1")];
    here.add("one", "r");
    elsewhere.add("two", "r");
    here.add("three", "r");
    expect(here.entries.peek().map(({ content }) => content)).toEqual(["one", "two", "three"]);
    elsewhere.send();
    expect(here.send(here.entries.peek()[0]!.id)).toBeUndefined();
    expect(here.entries.peek().map(({ content }) => content)).toEqual(["two", "three"]);
  });

  it("holds nothing any more when it is empty", () => {
    const queue = new Queue(store(), "c1");
    queue.add("one", "r");
    queue.held.value = true;
    queue.empty();
    expect(queue.held.peek()).toBe(false);
  });

  it("moves with the id", () => {
    const place = storage();
    const queue = new Queue(store(place), "new");
    queue.add("one", "r");
    queue.move("c1");
    const moved = new Queue(store(place), "c1");
    expect([new Queue(store(place), "new").entries.peek().length, moved.entries.peek().length, moved.behind]).toEqual([0, 1, "r"]);
  });
});

describe("the key", () => {
  it("is asked for when it is refused, and kept in the tab as the debug page keeps it", async () => {
    const session = storage();
    const keys = new Keys(store(session), store());
    keys.refused();
    expect(keys.wanted.peek()).toBe("person");
    keys.give(" secret ");
    expect([keys.wanted.peek(), await keys.current(), session.getItem("stream-serve.key")]).toEqual([false, "secret", "secret"]);
  });

  it("is kept on the device only where the person says so", async () => {
    const device = storage();
    new Keys(store(), store(device)).give("one");
    expect(device.length).toBe(0);
    new Keys(store(), store(device)).give("two", true);
    expect(await new Keys(store(), store(device)).current()).toBe("two");
  });

  it("is forgotten in all tabs, also in one that has a copy of it", async () => {
    const device = storage();
    const [one, copy] = [new Keys(store(), store(device)), new Keys(store(), store(device))];
    for (const keys of [one, copy]) keys.give("secret");
    one.forget();
    dispatchEvent(new Event("storage"));
    expect([await one.current(), await copy.current()]).toEqual(["", ""]);
    copy.give("another");
    dispatchEvent(new Event("storage"));
    expect([await one.current(), await copy.current()]).toEqual(["", "another"]);
  });

  it("is the application's token where there is one, and no person is asked", async () => {
    const keys = new Keys(store(), store(), { there: true, token: async () => "token" });
    keys.refused();
    expect([keys.wanted.peek(), await keys.current()]).toEqual(["host", "token"]);
  });
});

describe("titles", () => {
  // The tests of the service read them, too.
  it.each(JSON.parse(titles) as [string, string][])("makes of %j %j", (question, title) => expect(titleOf(question)).toBe(title));
});

it("groups by the days of the reader", () => {
  const now = new Date(2026, 2, 30, 0, 30);
  const service = new FakeService();
  const at = (...date: [number, number, number, number?]) => service.conversation("c", "", { updatedAt: new Date(...date).toISOString() });
  const groups = grouped([at(2026, 2, 30), at(2026, 2, 29, 23), at(2026, 2, 29), at(2026, 2, 28, 23), at(2026, 2, 1), at(2026, 1, 2), at(2025, 11, 31)], now);
  expect(groups.map(({ name, conversations }) => [name, conversations.length])).toEqual([
    ["today", 1], ["yesterday", 2], ["week", 1], ["month", 1], ["2026-02", 1], ["2025-12", 1],
  ]);
});

it("makes ids that the service takes", () => {
  const ids = new Set(Array.from({ length: 1000 }, newId));
  expect(ids.size).toBe(1000);
  for (const id of ids) expect(id).toMatch(/^[\w-]{16,128}$/);
});

it("a page that is closed tells the other tabs nothing, and nobody minds", () => {
  const tabs = new Tabs("test");
  tabs.close();
  tabs.tell("list", "c");
});
