/** The address: what it names, and where back and forward lead. */

import { afterEach, beforeEach, expect, test } from "vitest";

import { effect } from "../../src/signal.js";
import { Place, type Where } from "../../src/shell/place.js";

const BASE = new URL("/below/", location.href).href;
const undo: (() => void)[] = [];

beforeEach(() => history.replaceState(null, "", "/below/"));
afterEach(() => undo.splice(0).forEach((one) => one()));

const back = () =>
  new Promise<void>((done) => {
    addEventListener("popstate", () => done(), { once: true });
    history.back();
  });

function watched(): { place: Place; seen: Where[] } {
  const place = new Place(BASE);
  const seen: Where[] = [];
  undo.push(effect(() => void seen.push(place.where.value)));
  return { place, seen };
}

test("the address names a conversation, and a message of it, below any prefix", () => {
  const named = { conversation: "one-1_A", message: "m-1" };
  history.replaceState(null, "", new Place(BASE).address(named));
  expect(location.pathname).toBe("/below/c/one-1_A");
  expect(new Place(BASE).where.value).toEqual(named);
});

test.each(["/below/", "/below/c/", "/below/c/a/b", "/other/c/a", "/below/c/%E0%A4%A", "/below/c/..%5C..%5Cai%5Cinfo", "/below/c/..%2F..", "/below/c/%252e%252e", `/below/c/${"a".repeat(129)}`])("%s names no conversation", (path) => {
  history.replaceState(null, "", path);
  expect(new Place(BASE).where.value.conversation).toBeUndefined();
});

test("back leads to the conversation before", async () => {
  const { place, seen } = watched();
  place.go({ conversation: "one" });
  place.go({ conversation: "two" });
  await back();
  expect(place.where.value).toEqual({ conversation: "one" });
  expect(seen.map(({ conversation }) => conversation)).toEqual([undefined, "one", "two", "one"]);
});

test("a new conversation that gets its id stays where it is in the history", async () => {
  const { place } = watched();
  place.go({ conversation: "one" });
  place.go();
  place.become("new-id");
  expect(location.pathname).toBe("/below/c/new-id");
  await back();
  expect(place.where.value).toEqual({ conversation: "one" });
});

test("back closes what lies over the page, and leads no further", async () => {
  const { place, seen } = watched();
  place.go({ conversation: "one" });
  let closed = 0;
  place.cover(() => closed++);
  await back();
  expect(closed).toBe(1);
  expect(place.where.value).toEqual({ conversation: "one" });
  expect(seen).toHaveLength(2);
});

test("what was closed otherwise leaves nothing in the history", async () => {
  const { place } = watched();
  place.go({ conversation: "one" });
  place.cover(() => {
    throw new Error("it is closed already");
  });
  const left = new Promise<void>((done) => addEventListener("popstate", () => done(), { once: true }));
  place.uncover();
  await left;
  expect(history.state).toBeNull();
  await back();
  expect(place.where.value.conversation).toBeUndefined();
});

test("what is chosen over the page takes its place in the history", async () => {
  const { place } = watched();
  place.go({ conversation: "one" });
  place.cover(() => {});
  place.go({ conversation: "two" });
  place.uncover();
  expect(location.pathname).toBe("/below/c/two");
  await back();
  expect(place.where.value).toEqual({ conversation: "one" });
});

test("in the page of somebody else there is no way back through ours", () => {
  const place = new Place(BASE, { embedded: true });
  const entries = history.length;
  place.go({ conversation: "one" });
  place.cover(() => {});
  place.uncover();
  place.go();
  expect([history.length, history.state, location.pathname]).toEqual([entries, null, "/below/"]);
});
