/** The keys of the page, as one table for the help and for what they do. */

import { effect } from "../signal.js";
import { say, type Key } from "../words/index.js";
import { make } from "./dom.js";
import { Dialog } from "./dialog.js";

const APPLE = /Mac|iPhone|iPad/.test(navigator.platform);

/** The keys, as they are written on a keyboard; several ways are separated. */
const KEYS: readonly (readonly [Key, readonly string[]])[] = [
  ["help.send", ["Enter", "Ctrl Enter"]],
  ["help.line", ["Shift Enter"]],
  ["help.stop", ["Esc"]],
  ["help.turns", ["Alt ↑", "Alt ↓"]],
  ["help.search", ["Ctrl K"]],
  ["help.new", ["Ctrl Shift O"]],
  ["help.side", ["Ctrl Shift S"]],
  ["help.settings", ["Ctrl ,"]],
  ["help.help", ["?"]],
];

export function helpDialog(): Dialog {
  const dialog = new Dialog("help", "help.title");
  const table = make("dl", { class: "keys" });
  dialog.body.tabIndex = 0; // nothing in it has the focus, and it may have to be scrolled
  dialog.body.append(table);
  effect(() => {
    table.replaceChildren(...KEYS.flatMap(([key, ways]) => [make("dt", {}, say(key)), make("dd", {}, ...ways.flatMap(written))]));
  });
  return dialog;
}

function written(way: string, index: number): (Node | string)[] {
  const names = way.split(" ").map((name) => make("kbd", {}, APPLE && name === "Ctrl" ? "⌘" : name));
  return [...(index ? [make("span", { class: "or" }, say("help.or"))] : []), make("span", { class: "way" }, ...names)];
}
