/** A page that is seen again, or has a network again, goes on by itself. */

import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { settle, Talk } from "../support/talk.js";

let talk: Talk;

beforeEach(() => void (talk = new Talk()));
afterEach(() => talk.end());

const offline = () => Promise.reject(new TypeError("Load failed"));

const told = ({ path }: { path: string }) => (path === "ai/info" ? Response.json({ embedOrigins: [] }) : undefined);

async function heard(type: string, said: object = {}): Promise<void> {
  dispatchEvent(Object.assign(new Event(type), said));
  await settle();
}

it("reads what it could not read as soon as there is a network", async () => {
  const data = talk.page();
  talk.service.before = offline;
  await data.start();
  await heard("focus");
  expect([data.problem.peek()?.kind, data.models.peek()]).toEqual(["offline", undefined]);
  talk.service.before = () => undefined;
  await heard("online");
  expect(data.models.peek()).toBeTruthy();
  expect(data.list.problem.peek()).toBeUndefined();
});

it("says what is wrong with one thing, though another one was read", async () => {
  const data = talk.page();
  talk.service.before = ({ path }) => {
    if (path === "ai/info") return Response.json({ embedOrigins: [] });
    return path === "ai/models" ? offline() : undefined;
  };
  await data.start();
  await data.reload();
  expect([data.problem.peek()?.kind, data.list.problem.peek()]).toEqual(["offline", undefined]);
});

it("reads anew once for all that says that it is seen", async () => {
  const data = talk.page();
  talk.service.before = told;
  await data.start();
  const read = () => talk.service.of("GET", "ai/conversations").length;
  const before = read();
  const clock = vi.spyOn(Date, "now").mockReturnValue(Date.now() + 6000);
  for (const persisted of [true, false, true]) {
    await heard("focus");
    await heard("pageshow", { persisted });
  }
  expect(read()).toBe(before + 1);
  clock.mockRestore();
});

it("reads a conversation once when the page is opened, whatever the browser says of it then", async () => {
  talk.service.conversation("c1");
  talk.service.message("c1", "user", "hello");
  talk.service.before = told;
  const data = talk.page();
  const begun = data.start();
  data.open("c1");
  await heard("focus");
  await begun;
  for (const type of ["pageshow", "focus"]) await heard(type);
  const paths = ["ai/conversations", "ai/conversations/c1", "ai/conversations/c1/messages"];
  expect(paths.map((path) => talk.service.of("GET", path).length)).toEqual([1, 1, 1]);
});

it("keeps nothing of an answer that is over", async () => {
  talk.service.conversation("c1");
  talk.service.message("c1", "assistant", "whole", { runId: "r" });
  talk.session.setItem("stream-serve.run.r", '{"cursor":1,"text":"wh"}');
  await talk.open("c1");
  expect(talk.session.getItem("stream-serve.run.r")).toBeNull();
});

it("a conversation that was closed while it was read follows nothing", async () => {
  talk.service.conversation("c1");
  talk.service.message("c1", "assistant", "", { runId: "r", status: "generating" });
  const data = talk.page();
  const one = data.open("c1");
  data.close();
  await settle();
  expect([one.live.peek(), talk.service.of("GET", "ai/runs/r/events")]).toEqual([undefined, []]);
});
