/** The application that the page is part of: whom a token is taken from, and when one is asked for. */

import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Host } from "../../src/data/host.js";

const APP = "https://app.example";
const OTHER = "https://other.example";
let said: [string, string][];
let around: Window;
let heard: number;
let changed: boolean[];
let host: Host;

beforeEach(() => {
  vi.useFakeTimers();
  said = [];
  heard = 0;
  changed = [];
  around = { postMessage: ({ type }: { type: string }, to: string) => said.push([type, to]) } as unknown as Window;
  host = new Host(around, (other) => {
    heard++;
    changed.push(other);
  });
});
afterEach(() => {
  host.close();
  vi.useRealTimers();
});

function hand(token: unknown, { origin = APP, source = around as Window | null, type = "stream-serve:token" } = {}): void {
  dispatchEvent(Object.assign(new Event("message"), { source, origin, data: { type, token } }));
}

const settled = async <T>(promise: Promise<T>): Promise<T | "waiting"> => {
  await vi.advanceTimersByTimeAsync(0);
  return Promise.race([promise, Promise.resolve("waiting" as const)]);
};

it("says that it listens, asks for a token where a key is wanted, and hands it to all who wait", async () => {
  const early = host.token();
  expect(await settled(early)).toBe("waiting");
  host.known([APP], true);
  const late = host.token();
  expect(await settled(late)).toBe("waiting");
  expect(said).toEqual([["stream-serve:ready", APP], ["stream-serve:token-wanted", APP]]);
  hand("t1");
  expect(await Promise.all([early, late, host.token()])).toEqual(["t1", "t1", "t1"]);
  expect([heard, said.length, host.there]).toEqual([1, 2, true]);
});

it("asks once for another token when one is refused, and not for one that is here already", async () => {
  host.known([APP], true);
  hand("t1");
  const renewed = [host.token("t1"), host.token("t1")];
  expect(await settled(renewed[0]!)).toBe("waiting");
  hand("t2");
  expect(await Promise.all([...renewed, host.token("t1"), host.token()])).toEqual(["t2", "t2", "t2", "t2"]);
  expect(said.filter(([type]) => type.endsWith("wanted")).length).toBe(1);
});

it("takes no token of another window, another origin or another form, and none before it knows whose", async () => {
  hand("early");
  host.known([APP, OTHER], true);
  const token = host.token();
  hand("t", { origin: "https://evil.example" });
  hand("t", { source: null });
  hand("t", { source: window });
  hand("t", { type: "token" });
  for (const wrong of [undefined, 1, "", "a b", "a\nb", "ü", "x".repeat(9000), { toString: () => "t" }]) hand(wrong);
  expect([await settled(token), heard, host.there]).toEqual(["waiting", 0, false]);
  hand("t", { origin: OTHER });
  expect(await token).toBe("t");
  hand("u");
  expect(await host.token()).toBe("t"); // the application is where the first token came from
});

it("asks nobody where no origin is allowed, or no key is wanted", async () => {
  host.known([], true);
  expect(await host.token()).toBe("");
  host.close();
  host = new Host(around, () => heard++);
  host.known([APP], false);
  expect(await host.token()).toBe("");
  expect(said).toEqual([["stream-serve:ready", APP]]);
  const wanted = host.token(""); // the service refused, after all
  hand("t1");
  expect(await wanted).toBe("t1");
});

it("does not wait for an application that says nothing, and takes what it says later", async () => {
  host.known([APP], true);
  const token = host.token();
  await vi.advanceTimersByTimeAsync(5000);
  expect([await token, await host.token(), await host.token("a person's")]).toEqual(["", "", ""]);
  hand("t1");
  expect([await host.token(), heard]).toEqual(["t1", 1]);
});

it("does not wait for an application that says that it has none", async () => {
  host.known([APP], true);
  const token = host.token();
  expect(await settled(token)).toBe("waiting");
  hand("");
  expect([await token, await host.token(), heard, host.there]).toEqual(["", "", 0, false]);
  hand("t1");
  expect(await host.token()).toBe("t1");
});

it("forgets the token when the application has none any more, also when nobody asks", async () => {
  host.known([APP], false);
  hand("t1");
  hand("");
  expect([await host.token(), changed]).toEqual(["", [true, true]]);
  hand("");
  expect(heard).toBe(2); // there was none
});

it("says whether a token may be of another user: one that was not asked for", async () => {
  host.known([APP], true);
  const first = host.token();
  await settled(first);
  hand("t1");
  const renewed = host.token("t1");
  await settled(renewed);
  hand("t2");
  await renewed;
  hand("t2");
  hand("t3");
  expect([await host.token(), changed]).toEqual(["t3", [false, false, false, true]]);
});
