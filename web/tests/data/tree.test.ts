/** The tree of messages: the chosen way, siblings, and what is remembered of forks. */

import { expect, it } from "vitest";

import { Tree, type TreeNode } from "../../src/data/tree.js";
import { chance } from "../support/chance.js";

/** Make a tree from `id<parent` pairs in the order of their making. */
function tree(...pairs: string[]): Tree<TreeNode> {
  const made = new Tree<TreeNode>();
  for (const pair of pairs) {
    const [id, parentId = null] = pair.split("<") as [string, string?];
    made.add({ id, parentId });
  }
  return made;
}

const ids = (nodes: TreeNode[]) => nodes.map(({ id }) => id).join(" ");
const FORKED = ["q1", "a1<q1", "q2<a1", "a2<q2", "a1b<q1", "q3<a1b", "a3<q3", "q2b<a1", "a2b<q2b"];

it("goes from the first message to the leaf", () => {
  const one = tree(...FORKED);
  one.choose(one.get("a2")!);
  expect(ids(one.path())).toBe("q1 a1 q2 a2");
});

it("says where a message stands among its siblings, and goes to the next", () => {
  const one = tree(...FORKED);
  expect(one.place(one.get("a1b")!)).toEqual({ at: 2, of: 2 });
  expect(one.beside(one.get("a1b")!, -1)?.id).toBe("a1");
  expect(one.beside(one.get("a1b")!, 1)).toBeUndefined();
});

it("comes back to each fork as it was left", () => {
  const one = tree(...FORKED);
  one.choose(one.get("q2")!); // and not the newer q2b
  one.choose(one.get("a1b")!);
  expect(ids(one.path())).toBe("q1 a1b q3 a3");
  one.choose(one.get("a1")!);
  expect(ids(one.path())).toBe("q1 a1 q2 a2");
});

it("follows what comes below the leaf", () => {
  const one = tree("q1", "a1<q1");
  one.choose(one.get("a1")!);
  one.add({ id: "q2", parentId: "a1" });
  expect(ids(one.path())).toBe("q1 a1 q2");
});

it("shows what is here of a conversation of which older messages are not", () => {
  const one = tree("q2<a1", "a2<q2");
  one.choose(one.get("a2")!);
  expect(ids(one.path())).toBe("q2 a2");
  one.add({ id: "a1", parentId: "q1" }, true);
  one.add({ id: "q1", parentId: null }, true);
  expect(ids(one.path())).toBe("q1 a1 q2 a2");
});

it("sets older siblings before those that are here", () => {
  const one = tree("b<q", "c<q");
  one.add({ id: "a", parentId: "q" }, true);
  expect(one.place(one.get("c")!)).toEqual({ at: 3, of: 3 });
});

it("goes beside, or up, when a message is taken out", () => {
  const one = tree(...FORKED);
  one.choose(one.get("a2b")!);
  one.remove(one.get("q2b")!);
  expect(ids(one.path())).toBe("q1 a1 q2 a2");
  one.remove(one.get("q2")!);
  expect(ids(one.path())).toBe("q1 a1");
});

it("keeps the way whatever is renamed", () => {
  const names = FORKED.map((pair) => pair.split("<")[0]!);
  for (let seed = 0; seed < 300; seed++) {
    const pick = chance(seed);
    const one = tree(...FORKED);
    for (let count = 0; count < 4; count++) one.choose(one.get(pick(names))!);
    const before = ids(one.path());
    const places = names.map((name) => one.place(one.get(name)!));
    const nodes = names.map((name) => one.get(name)!);
    for (const node of nodes) if (pick([true, false])) one.rename(node, `new-${node.id}`);
    expect(ids(one.path()).replaceAll("new-", "")).toBe(before);
    expect(nodes.map((node) => one.place(node))).toEqual(places);
  }
});
