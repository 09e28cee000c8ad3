/** The keys of the whole page, and the order in which Esc closes what is open: one press, one thing. */

import { composing } from "./dom.js";

export interface Commands {
  search(): void;
  begin(): void;
  side(): void;
  settings(): void;
  help(): void;
  /** Put the focus into the box. */
  write(): void;
  /** Whether keys without a modifier do something. */
  letters(): boolean;
  /** What Esc closes where nothing lies over the page, in this order; each says whether it had something to close. */
  escapes: readonly (() => boolean)[];
}

/** By the letter that is written; where that is none of ours, as on a Russian keyboard, by the key's place. */
function letterOf({ key, code }: KeyboardEvent): string {
  if (/^[\x20-\x7e]$/.test(key)) return key.toLowerCase();
  return /^Key[A-Z]$/.test(code) ? code.slice(3).toLowerCase() : key;
}

const FIELDS = "input, textarea, select, [contenteditable]";

export function listen(commands: Commands): void {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || composing(event)) return;
    const act = commandOf(event, commands);
    if (!act) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("keydown", (event) => write(event, commands));
}

function commandOf(event: KeyboardEvent, commands: Commands): (() => void) | undefined {
  const { ctrlKey, metaKey, altKey, shiftKey, key, target } = event;
  // AltGr is Ctrl and Alt to some systems.
  if (altKey) return undefined;
  // The browser closes what lies over the page by itself; a menu that is closed is gone.
  const covered = document.querySelector("dialog[open], .menu") !== null;
  if (ctrlKey || metaKey) return covered ? undefined : withControl(letterOf(event), shiftKey, commands);
  if (covered) return undefined;
  if (key === "Escape") return commands.escapes.find((close) => close()) && (() => {});
  const inField = target instanceof Element && target.closest(FIELDS) !== null;
  return key === "?" && !inField && commands.letters() ? commands.help : undefined;
}

function withControl(letter: string, shift: boolean, commands: Commands): (() => void) | undefined {
  if (shift) return { o: commands.begin, s: commands.side }[letter];
  return { k: commands.search, ",": commands.settings }[letter];
}

/** A letter that is typed with nothing focused goes to the box. */
function write(event: KeyboardEvent, { letters, write: focus }: Commands): void {
  const { key, ctrlKey, metaKey, altKey, defaultPrevented } = event;
  if (defaultPrevented || ctrlKey || metaKey || altKey || key === " " || key === "?") return;
  // An input method has the first key of a word before the page can know what it will be.
  const writes = [...key].length === 1 || (composing(event) && key === "Process");
  if (writes && document.activeElement === document.body && letters()) focus();
}
