/** The room for the conversation in jsdom, against a service in memory. */

import { vi } from "vitest";

import { Choices } from "../../src/data/choices.js";
import { Store } from "../../src/data/store.js";
import { openPane } from "../../src/pane/pane.js";
import { follow } from "../../src/shell/follow.js";
import type { Pane, Parts } from "../../src/shell/parts.js";
import { Place } from "../../src/shell/place.js";
import { page } from "./frame.js";
import { settle, type Talk } from "./talk.js";

export interface Room {
  parts: Parts;
  pane: Pane;
}

export async function room(talk: Talk, path = "/"): Promise<Room> {
  page();
  history.replaceState(null, "", path);
  vi.stubGlobal("ResizeObserver", class {
    observe(): void {}
    disconnect(): void {}
  });
  const element = HTMLElement.prototype as any;
  element.scrollTo ??= () => {};
  element.scrollIntoView ??= () => {};
  const data = talk.page();
  const place = new Place(new URL("/", location.href).href);
  const conversation = follow(data, place);
  const parts = { data, place, conversation, choices: new Choices(new Store(() => talk.local)) };
  const pane = openPane(parts, document.querySelector("main")!);
  await data.start();
  await settle(50); // The turns are loaded behind the first paint.
  await vi.dynamicImportSettled();
  await settle();
  return { parts, pane };
}

export const box = (): HTMLTextAreaElement => document.querySelector("#message")!;

/** Type into the box, as a person does. */
export function type(words: string, into: HTMLTextAreaElement = box()): void {
  into.focus();
  into.value = words;
  into.dispatchEvent(new Event("input", { bubbles: true }));
}

/** The turns, by their names and texts. */
export const turns = (): string[] =>
  [...document.querySelectorAll("article")].map((one) => {
    const text = one.querySelector(".bubble, .answer")?.textContent?.trim() ?? "";
    return `${one.getAttribute("aria-label")}: ${text}`;
  });
