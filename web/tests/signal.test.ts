/** Signals and effects: what runs, when, and how often. */

import { expect, it } from "vitest";

import { batch, effect, signal, untracked } from "../src/signal.js";

it("runs an effect at once, and after each change", () => {
  const name = signal("a");
  const seen: string[] = [];
  effect(() => void seen.push(name.value));
  name.value = "b";
  name.value = "b";
  expect(seen).toEqual(["a", "b"]);
});

it("runs once for all changes of a batch, also of one in another", () => {
  const [first, second] = [signal(1), signal(2)];
  const sums: number[] = [];
  effect(() => void sums.push(first.value + second.value));
  batch(() => {
    first.value = 10;
    batch(() => (second.value = 20));
    expect(sums).toEqual([3]);
  });
  expect(sums).toEqual([3, 30]);
});

it("watches only what it read last", () => {
  const [which, other] = [signal(true), signal(0)];
  let runs = 0;
  effect(() => {
    runs++;
    if (which.value) void other.value;
  });
  other.value = 1;
  which.value = false;
  other.value = 2;
  expect(runs).toBe(3);
});

it("cleans up before it runs again, and when it is disposed of", () => {
  const number = signal(1);
  const said: string[] = [];
  const dispose = effect(() => {
    const now = number.value;
    return () => said.push(`clean ${now}`);
  });
  number.value = 2;
  dispose();
  number.value = 3;
  dispose();
  expect(said).toEqual(["clean 1", "clean 2"]);
});

it("does not run one that another disposes of in the same change", () => {
  const on = signal(true);
  let runs = 0;
  let dispose = () => {};
  effect(() => {
    if (!on.value) dispose();
  });
  dispose = effect(() => {
    void on.value;
    runs++;
  });
  on.value = false;
  expect(runs).toBe(1);
});

it("lets an effect change a signal, and refuses what never settles", () => {
  const [from, to] = [signal(1), signal(0)];
  effect(() => void (to.value = from.value * 2));
  from.value = 4;
  expect(to.peek()).toBe(8);
  const on = signal(false);
  const dispose = effect(() => {
    if (on.value) to.value = to.value + 1;
  });
  expect(() => (on.value = true)).toThrow("for ever");
  dispose();
});

it("runs the others when one throws, and throws then", () => {
  const number = signal(0);
  const seen: number[] = [];
  effect(() => {
    if (number.value === 1) throw new Error("mine");
  });
  effect(() => void seen.push(number.value));
  expect(() => (number.value = 1)).toThrow("mine");
  number.value = 2;
  expect(seen).toEqual([0, 1, 2]);
});

it("reads without watching", () => {
  const [watched, read] = [signal(0), signal(0)];
  let runs = 0;
  effect(() => {
    runs += 1 + 0 * (watched.value + untracked(() => read.value) + read.peek());
  });
  read.value = 1;
  expect(runs).toBe(1);
});
