/** The page's data against the service itself: what the service in memory supposes of it holds. */

import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";

import { Data, type Conversation } from "../../src/data/index.js";
import { textOf } from "../../src/turn/index.js";

import { service, type Real } from "../support/real.js";
import { storage } from "../support/service.js";
import { last, places, shown, turn } from "../support/talk.js";

const KEY = "a-key-for-the-tests-of-the-page";
let running: Real;
let local: Storage;
const opened: Data[] = [];

beforeAll(async () => void (running = await service({ API_KEYS: KEY })));
afterAll(() => running.close());
afterEach(() => {
  for (const data of opened.splice(0)) data.close();
});

function page(session = storage()): Data {
  local ??= storage();
  const data = new Data({ base: running.url, share: false, local: () => local, session: () => session });
  data.keys.give(KEY);
  opened.push(data);
  return data;
}

const until = (check: () => unknown) => vi.waitFor(() => expect(check()).toBeTruthy(), { timeout: 20_000, interval: 20 });

const begun = (one: Conversation) => ["thinking", "answering"].includes(turn(one).state);

/** Ask, and wait for some of the answer. */
async function ask(one: Conversation, question: string): Promise<void> {
  one.ask(question);
  await until(() => begun(one));
}

it("asks for a key, and goes on with the question", async () => {
  const data = page();
  data.keys.give("wrong");
  await data.start();
  const one = data.open();
  one.ask("Hello");
  await until(() => turn(one).state === "failed");
  expect([data.keys.wanted.peek(), data.info.peek()?.authRequired]).toEqual(["person", true]);
  data.keys.give(KEY);
  await until(() => begun(one));
  await one.stop();
});

it("asks, goes on after a reload, stops with a receipt, and finds it all again", async () => {
  const session = storage();
  const data = page(session);
  const one = data.open();
  one.preferences.set({ temperature: 0.5 });
  await ask(one, "Hello there");
  const id = one.id.peek()!;
  one.keep();
  data.close();

  const again = page(session);
  const same = again.open(id);
  await until(() => same.live.peek() && turn(same).state === "answering");
  const before = textOf(turn(same));
  await until(() => textOf(turn(same)).length > before.length);
  await same.stop();
  expect(turn(same)).toMatchObject({ state: "stopped", receipt: { outcome: "stopped" } });
  const text = textOf(turn(same));

  const fresh = page();
  const read = fresh.open(id);
  await until(() => read.steps.peek().length);
  expect([shown(read), turn(read).state, read.preferences.value.peek()["temperature"]]).toEqual([["Hello there", text], "stopped", 0.5]);
});

it("branches, keeps the chosen one, and what is thought of it", async () => {
  const data = page();
  const one = data.open();
  await ask(one, "First");
  await one.stop();
  one.regenerate(last(one));
  await until(() => begun(one));
  await one.stop();
  one.turnTo(last(one), -1);
  await one.rate(last(one), "up");
  const chosen = last(one).id;
  one.edit(one.steps.peek()[0]!.question!, "Second");
  await until(() => begun(one));
  await one.stop();
  one.turnTo(one.steps.peek()[0]!.question!, -1);
  one.preferences.close(); // as a page that is left
  for (let stored; stored !== chosen; ) {
    await data.reload();
    stored = data.list.get(one.id.peek()!)?.metadata?.leaf;
  }

  const fresh = page();
  const read = fresh.open(one.id.peek());
  await until(() => read.steps.peek().length && !read.loading.peek());
  expect([last(read).id, last(read).feedback.peek(), places(read)]).toEqual([chosen, "up", ["1/2 1/2"]]);
});

it("lists, searches, renames, exports and deletes", async () => {
  const data = page();
  const one = data.open();
  await ask(one, "About the marmot\nand more");
  await one.stop();
  const id = one.id.peek()!;
  await data.reload();
  expect(data.list.get(id)?.title).toMatch(/^About the marmot/);
  data.search.set("marmot");
  await until(() => data.search.found.peek());
  expect(data.search.found.peek()!.hits.map(({ conversation }) => conversation.id)).toEqual([id]);
  expect(data.search.found.peek()!.hits[0]!.match).toBeTruthy();
  await data.list.rename(id, "Mine");
  await data.reload();
  expect([data.list.get(id)?.title, await (await data.list.exported(id, "markdown")).text()]).toEqual(["Mine", expect.stringContaining("# Mine")]);
  data.list.remove(id);
  data.list.close();
  await until(() => !data.list.deleted.peek().length);
  await data.reload();
  expect(data.list.get(id)).toBeUndefined();
});

it("answers with all messages where they are not stored", async () => {
  const data = page();
  data.storage.value = "away";
  const one = data.open();
  await ask(one, "One");
  await one.stop();
  await ask(one, "Two");
  await one.stop();
  expect([one.id.peek(), shown(one).length, turn(one).state]).toEqual([undefined, 4, "stopped"]);
});

it("shows in every tab what is asked, answered, stopped and deleted in one", async () => {
  const [data, elsewhere] = [page(), page()];
  const one = data.open();
  await ask(one, "One");
  await one.stop();
  const other = elsewhere.open(one.id.peek());
  await until(() => shown(other).length);
  await ask(one, "Two");
  await until(() => other.live.peek() && shown(other)[2] === "Two" && begun(other));
  await other.stop();
  await until(() => turn(one).state === "stopped");
  await until(() => elsewhere.list.get(one.id.peek()!));
  data.list.remove(one.id.peek()!);
  data.list.close();
  await until(() => !elsewhere.list.get(one.id.peek()!));
});

it("sends once what waits in two tabs", async () => {
  const data = page();
  const one = data.open();
  await ask(one, "One");
  one.ask("Two");
  const other = page().open(one.id.peek());
  await until(() => other.live.peek());
  await until(() => shown(one).length === 4 && shown(other).length === 4 && begun(one));
  await one.stop();
  await until(() => turn(other).state === "stopped");
  expect(turn(other).runId).toBe(turn(one).runId);
});
