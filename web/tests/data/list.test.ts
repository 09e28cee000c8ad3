/** The list of conversations, the search, and what is chosen for a conversation. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Api, Trouble } from "../../src/data/api.js";
import { Drafts } from "../../src/data/drafts.js";
import { Homes } from "../../src/data/homes.js";
import { Keys } from "../../src/data/keys.js";
import { List } from "../../src/data/list.js";
import { Preferences } from "../../src/data/preferences.js";
import { Search } from "../../src/data/search.js";
import { Store } from "../../src/data/store.js";
import { Tabs } from "../../src/data/tabs.js";
import { FakeService, json, refuse, storage } from "../support/service.js";

const store = (place = storage()) => new Store(() => place);

let service: FakeService;
let keys: Keys;
let api: Api;
let tabs: Tabs;
let list: List;

beforeEach(() => {
  vi.useFakeTimers();
  service = new FakeService();
  keys = new Keys(store(), store());
  api = new Api({ base: "http://test/", keys, fetch: service.fetch });
  tabs = new Tabs("test");
  list = new List(api, tabs);
});

afterEach(() => {
  list.close();
  tabs.close();
  vi.useRealTimers();
});

const titles = () => list.conversations.peek().map(({ title }) => title);

describe("a request", () => {
  it("says the kind of what went wrong, and when to try again", async () => {
    service.before = () => refuse(429, "too_many_runs", { "Retry-After": "5" });
    const error = await api.json("GET", "ai/models").catch((error: Trouble) => error);
    expect(error).toBeInstanceOf(Trouble);
    expect((error as Trouble).problem).toMatchObject({ kind: "rate", retryable: true, retryAt: Date.now() + 5000 });
  });

  it("asks for a key when it is refused, and sends it", async () => {
    service.before = ({ key }) => (key === "Bearer right" ? undefined : refuse(401, "unauthorized"));
    await expect(api.json("GET", "ai/models")).rejects.toMatchObject({ problem: { kind: "key" } });
    expect(keys.wanted.peek()).toBe("person");
    keys.give("right");
    expect(await api.json("GET", "ai/models")).toBeTruthy();
  });

  it("takes a new token of the application once when one is refused", async () => {
    let token = 1;
    const host = { there: true, token: async (refused?: string) => (refused === undefined ? `t${token}` : `t${++token}`) };
    const fresh = new Api({ base: "http://test/", keys: new Keys(store(), store(), host), fetch: service.fetch });
    service.before = ({ key }) => (key === "Bearer t1" ? refuse(401, "unauthorized") : undefined);
    expect(await fresh.json("GET", "ai/models")).toBeTruthy();
    service.before = () => refuse(401, "unauthorized");
    await expect(fresh.json("GET", "ai/models")).rejects.toThrow(Trouble);
    expect(service.asked.length).toBe(4);
  });

  it.each([
    ["..\\..\\v1", "/ai/runs/..%5C..%5Cv1/stop"],
    ["..", "/ai/runs/%252E%252E/stop"],
    ["%2e%2e", "/ai/runs/%252e%252e/stop"],
    ["a?b#c", "/ai/runs/a%3Fb%23c/stop"],
  ])("keeps the id %s in its place of a path", (id, path) => {
    expect(api.address(`ai/runs/${id}/stop`)).toBe(`http://test${path}`);
  });

  it.each([
    [() => Promise.reject(new TypeError("Load failed")), "offline"],
    [() => new Response("<html>", { status: 502 }), "busy"],
    [() => new Response("<html>"), "offline"],
  ])("tells a service that is not there from one that refuses", async (before, kind) => {
    service.before = before;
    await expect(api.json("GET", "ai/models")).rejects.toMatchObject({ problem: { kind } });
  });
});

describe("the list", () => {
  it("comes page by page, last changed first, each once", async () => {
    for (let number = 0; number < 90; number++) service.conversation(`c${number}`);
    await list.load();
    expect([titles().length, titles()[0], list.more.peek()]).toEqual([40, "c89", true]);
    service.conversation("newer");
    await list.next();
    await list.next();
    expect([titles().length, new Set(titles()).size, list.more.peek()]).toEqual([90, 90, false]);
    await list.load();
    expect(titles()[0]).toBe("newer");
  });

  it("shows a conversation as soon as it begins, and keeps its title", async () => {
    service.conversation("c1", "Mine");
    await list.load();
    list.touch("c1", "something else", "r");
    list.touch("c2", "First line", "r2");
    expect(titles()).toEqual(["First line", "Mine"]);
    list.settle("c2");
    expect(list.get("c2")?.liveRunId).toBeNull();
  });

  it("keeps what has begun, and what has ended, while it was read", async () => {
    service.conversation("c1", "", { liveRunId: "r1" });
    await list.load();
    let answer!: () => void;
    const page = json({ conversations: [service.conversations.get("c1")], nextCursor: null, matches: {}, indexing: false });
    service.before = () => new Promise((resolve) => (answer = () => resolve(page)));
    const load = list.load();
    await vi.advanceTimersByTimeAsync(0);
    list.touch("c2", "First line", "r2");
    list.touch("c1", "Its first question", "r1");
    list.settle("c1");
    answer();
    await load;
    expect(list.conversations.peek().map(({ title, liveRunId }) => [title, liveRunId])).toEqual([["Its first question", null], ["First line", "r2"]]);
    service.before = () => undefined;
    await list.load();
    expect(list.get("c2")).toBeUndefined(); // what is read later counts
  });

  it("has a conversation that was read by itself, though it is further back", async () => {
    for (let number = 0; number < 45; number++) service.conversation(`c${number}`);
    list.know(service.conversations.get("c0")!);
    await list.load();
    expect([titles().length, list.get("c0")?.title]).toEqual([41, "c0"]);
    await list.next();
    expect(titles().length).toBe(45);
    list.drop("c0");
    await list.load();
    expect(list.get("c1")).toBeTruthy();
  });

  it("keeps what is further back when its head is read anew, unless much is new", async () => {
    for (let number = 0; number < 130; number++) service.conversation(`c${number}`);
    await list.load();
    for (let page = 0; page < 2; page++) await list.next();
    service.conversation("new");
    await list.load();
    expect([titles().length, titles()[0], titles().at(-1)]).toEqual([131, "new", "c0"]);
    await list.load();
    expect([titles().length, list.more.peek()]).toEqual([131, false]);
    for (let number = 0; number < 400; number++) service.conversation(`n${number}`);
    await list.load();
    expect([titles().length, titles()[0], titles().at(-1), list.more.peek()]).toEqual([300, "n399", "n100", true]);
  });

  it("has nothing any more of what was deleted elsewhere, however far back it is", async () => {
    for (let number = 0; number < 250; number++) service.conversation(`c${number}`);
    await list.load();
    for (let page = 0; page < 4; page++) await list.next();
    list.know(service.conversations.get("c5")!);
    list.know(service.conversations.get("c100")!);
    await list.load();
    expect(titles().length).toBe(201);
    for (const id of ["c240", "c100", "c60", "c50"]) service.conversations.delete(id);
    await list.load();
    expect(titles()).toEqual([...[...service.conversations.keys()].reverse().slice(0, 200), "c5"]);
  });

  it("drops a reply that is older than one that is here", async () => {
    const waiting: (() => void)[] = [];
    service.before = () => new Promise((resolve) => {
      const page = json({ conversations: [service.conversation(`c${waiting.length}`)], nextCursor: null, matches: {}, indexing: false });
      waiting.push(() => resolve(page));
    });
    const loads = [list.load(), list.load()];
    await vi.advanceTimersByTimeAsync(0);
    for (const answer of waiting.reverse()) answer();
    await Promise.all(loads);
    expect([titles(), list.loading.peek()]).toEqual([["c1"], false]);
  });

  it("shows a new title at once, over every reply that does not have it yet", async () => {
    service.conversation("c1", "old");
    await list.load();
    let store = () => {};
    service.before = ({ method }) => (method === "PATCH" ? new Promise((resolve) => (store = () => resolve(json({})))) : undefined);
    const renamed = list.rename("c1", "new");
    await list.load();
    expect(titles()).toEqual(["new"]);
    store();
    await renamed;
  });

  it("gives the old title back where the new one is refused", async () => {
    service.conversation("c1", "old");
    await list.load();
    service.before = () => refuse(503, "history_unavailable");
    await list.rename("c1", "new");
    expect([titles(), list.problem.peek()?.kind]).toEqual([["old"], "storage"]);
  });

  it("deletes after eight seconds, and brings back before", async () => {
    service.conversation("c1");
    service.conversation("c2");
    await list.load();
    list.remove("c1");
    list.remove("c2");
    expect(titles()).toEqual([]);
    await list.load();
    expect(titles()).toEqual([]);
    list.undo("c2");
    await vi.advanceTimersByTimeAsync(8000);
    expect([titles(), [...service.conversations.keys()], list.deleted.peek()]).toEqual([["c2"], ["c2"], []]);
  });

  it("deletes at once when the page is left, in a request that outlives it", async () => {
    service.conversation("c1");
    await list.load();
    list.remove("c1");
    dispatchEvent(new Event("pagehide"));
    await vi.advanceTimersByTimeAsync(0);
    expect(service.of("DELETE", "ai/conversations/c1")).toMatchObject([{ keepalive: true }]);
    await vi.advanceTimersByTimeAsync(8000);
    expect(service.of("DELETE", "ai/conversations/c1").length).toBe(1);
  });

  it("stops the answer that is on its way in what is deleted", async () => {
    service.conversation("c1", "c1", { liveRunId: "r1" });
    await list.load();
    list.remove("c1");
    await vi.advanceTimersByTimeAsync(8000);
    expect(service.of("POST", "ai/runs/r1/stop")).toMatchObject([{ keepalive: true }]);
  });

  it("stops it also when the page is left, which hears no answer to the deletion", async () => {
    service.conversation("c1", "c1", { liveRunId: "r1" });
    await list.load();
    service.before = ({ method }) => (method === "DELETE" ? new Promise(() => {}) : undefined);
    list.remove("c1");
    dispatchEvent(new Event("pagehide"));
    await vi.advanceTimersByTimeAsync(0);
    expect(service.of("POST", "ai/runs/r1/stop")).toMatchObject([{ keepalive: true }]);
  });

  it("shows again what could not be deleted", async () => {
    service.conversation("c1");
    await list.load();
    service.before = ({ method }) => (method === "DELETE" ? refuse(503, "history_unavailable") : undefined);
    list.remove("c1");
    await vi.advanceTimersByTimeAsync(8000);
    expect([titles(), list.problem.peek()?.kind]).toEqual([["c1"], "storage"]);
  });

  it("exports", async () => {
    service.conversation("c1");
    expect(await (await list.exported("c1", "markdown")).text()).toBe("exported");
  });
});

describe("the search", () => {
  it("asks once for what is typed in one go, and shows titles first", async () => {
    service.conversation("c1", "about cursors");
    service.conversation("c2", "other");
    service.exchange("c2", "a cursor", "yes");
    const search = new Search(api);
    for (const query of ["c", "cu", "cursor"]) search.set(query);
    await vi.advanceTimersByTimeAsync(199);
    expect(service.asked.length).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(search.found.peek()?.hits.map(({ conversation, match }) => [conversation.id, match?.text])).toEqual([["c1", undefined], ["c2", "cursor"]]);
    search.set("");
    expect(search.found.peek()).toBeUndefined();
  });

  it("drops a reply that is older than what is asked", async () => {
    const waiting: Record<string, () => void> = {};
    service.before = ({ query }) => new Promise((resolve) => {
      const q = query["q"]!;
      waiting[q] = () => resolve(json({ conversations: [service.conversation(q)], nextCursor: null, matches: {}, indexing: false }));
    });
    const search = new Search(api);
    search.set("old");
    await vi.advanceTimersByTimeAsync(200);
    search.set("new");
    await vi.advanceTimersByTimeAsync(200);
    waiting["new"]!();
    await vi.advanceTimersByTimeAsync(0);
    waiting["old"]!();
    await vi.advanceTimersByTimeAsync(0);
    expect([search.found.peek()?.query, search.busy.peek()]).toEqual(["new", false]);
  });
});

describe("preferences", () => {
  it("are stored together, a moment after the last change, beside what others keep there", async () => {
    service.conversation("c1");
    const preferences = new Preferences(api, store(), "c1", { theirs: 1 });
    preferences.set({ model: "small" });
    preferences.set({ temperature: 0.5, systemPrompt: "" });
    await vi.advanceTimersByTimeAsync(800);
    expect(service.of("PATCH", "ai/conversations/c1").map(({ body }) => body)).toEqual([
      { metadata: { theirs: 1, model: "small", temperature: 0.5 } },
    ]);
  });

  it("wait for the conversation's id, and are stored when the page is left", async () => {
    const preferences = new Preferences(api, store(), undefined, {});
    preferences.set({ model: "small" });
    await vi.advanceTimersByTimeAsync(5000);
    expect(service.asked.length).toBe(0);
    service.conversation("c1");
    preferences.move("c1");
    dispatchEvent(new Event("pagehide"));
    await vi.advanceTimersByTimeAsync(0);
    expect(service.of("PATCH", "ai/conversations/c1")).toMatchObject([{ keepalive: true, body: { metadata: { model: "small" } } }]);
  });

  it("are there in a page that is loaded anew before they are stored", async () => {
    service.conversation("c1");
    const session = store();
    const before = new Preferences(api, session, "c1", { model: "small", temperature: 1 });
    before.set({ leaf: "m2", temperature: undefined as never });
    const anew = new Preferences(api, session, "c1", {});
    anew.read({ model: "small", temperature: 1, theirs: 1 });
    expect(anew.value.peek()).toEqual({ model: "small", theirs: 1, leaf: "m2" });
    await vi.advanceTimersByTimeAsync(800);
    expect(service.of("PATCH", "ai/conversations/c1").at(-1)!.body).toEqual({ metadata: { model: "small", theirs: 1, leaf: "m2" } });
    expect(new Preferences(api, session, "c1", { model: "small" }).value.peek()).toEqual({ model: "small" });
  });

  it("are there again in the next new conversation of the tab, where nothing was asked", () => {
    const [session, kept] = [store(), store()];
    const homes = () => new Homes(kept, session, new Drafts(kept, session));
    const chosen = (home: string) => new Preferences(api, session, undefined, {}, undefined, home);
    const before = homes();
    chosen(before.add()).set({ model: "small", temperature: 0 });
    before.close();
    const again = chosen(homes().add());
    expect(again.value.peek()).toEqual({ model: "small", temperature: 0 });
    service.conversation("c1");
    again.move("c1");
    expect(chosen(homes().add()).value.peek()).toEqual({});
  });

  it("hold in the page what could not be stored, and read what another tab has stored", async () => {
    service.before = () => refuse(503, "history_unavailable");
    const preferences = new Preferences(api, store(), "c1", {});
    preferences.set({ model: "small" });
    await vi.advanceTimersByTimeAsync(800);
    preferences.read({ model: "large", temperature: 1 });
    expect([preferences.problem.peek()?.kind, preferences.value.peek()]).toEqual(["storage", { model: "small", temperature: 1 }]);
  });
});

it("tells other tabs, and nobody twice", async () => {
  vi.useRealTimers();
  const heard: string[] = [];
  const other = new Tabs("test");
  const told = new Promise<void>((resolve) => other.listen(({ event, conversation }) => {
    heard.push(`${event} ${conversation}`);
    resolve();
  }));
  tabs.tell("list", "c1");
  await told;
  other.close();
  expect(heard).toEqual(["list c1"]);
});
