/** The rooms of the page have an order: each imports only those before it, and nothing is imported in a circle. */

import { readFileSync, readdirSync } from "node:fs";
import { expect, it } from "vitest";

const ROOMS = ["signal", "text", "turn", "words", "rendered", "widget", "data", "shell", "pane", "first", "main"];

const modules = readdirSync("src", { recursive: true }).filter((path) => /(?<!\.d)\.ts$/.test(path));
const roomOf = (path: string) => path.split("/")[0]!.replace(/\.ts$/, "");

/** Return the modules of the page that one imports, types included. */
function imported(path: string): string[] {
  const from = [...readFileSync(`src/${path}`, "utf8").matchAll(/(?:from|import\() *"(\.[^"]+)\.js"/g)].map(([, to]) => to!);
  return from.map((to) => new URL(to, `file:///src/${path}`).pathname).flatMap((to) => (to.startsWith("/src/") ? [`${to.slice(5)}.ts`] : []));
}

it("has only the rooms that have a place in the order", () => {
  for (const path of modules) expect(ROOMS).toContain(roomOf(path));
});

it.each(modules)("%s imports only rooms before its own", (path) => {
  for (const other of imported(path)) {
    expect(ROOMS.indexOf(roomOf(other)), other).toBeLessThanOrEqual(ROOMS.indexOf(roomOf(path)));
  }
});

it("has no circle", () => {
  const done = new Set<string>();
  const visit = (path: string, way: string[]) => {
    expect(way, [...way, path].join(" > ")).not.toContain(path);
    if (done.has(path)) return;
    for (const other of imported(path)) visit(other, [...way, path]);
    done.add(path);
  };
  for (const path of modules) visit(path, []);
});
