/** The page's frame in jsdom, which has no layout: what depends on one is a stub, and never says anything by itself. */

import { vi } from "vitest";

import html from "../../src/page.html?raw";

const listening: (() => void)[] = [];
const listen = document.addEventListener.bind(document);

/** A frame listens for as long as its page is there: the one before is not there any more. */
function leave(): void {
  listening.splice(0).forEach((undo) => undo());
  document.addEventListener = (type: string, listener: any, options?: any) => {
    listening.push(() => document.removeEventListener(type, listener, options));
    listen(type, listener, options);
  };
}

/** Put the page's elements into the document, and let the window have the width of a desktop or of a phone. */
export function page(width: "wide" | "narrow" = "wide"): void {
  leave();
  document.body.innerHTML = /<body>([^]*)<\/body>/.exec(html)![1]!;
  const matches = (query: string) => query.includes("fine") || (query.includes("min-width") && width === "wide");
  vi.stubGlobal("matchMedia", (query: string) => ({ matches: matches(query), addEventListener: () => {}, removeEventListener: () => {} }));
  vi.stubGlobal("IntersectionObserver", class {
    observe(): void {}
    disconnect(): void {}
  });
  const element = HTMLElement.prototype as any;
  element.showPopover ??= () => {};
  element.hidePopover ??= function (this: HTMLElement) {
    const event = new Event("toggle");
    this.dispatchEvent(Object.assign(event, { newState: "closed" }));
  };
  const dialog = HTMLDialogElement.prototype as any;
  dialog.showModal ??= function (this: HTMLDialogElement) {
    this.setAttribute("open", "");
  };
  dialog.close ??= function (this: HTMLDialogElement) {
    this.removeAttribute("open");
    this.dispatchEvent(new Event("close"));
  };
  vi.stubGlobal("requestAnimationFrame", (call: () => void) => (call(), 0));
}

/** Press a key on what has the focus; return whether the page has used it. */
export function press(key: string, more: KeyboardEventInit = {}): boolean {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more });
  return !(document.activeElement ?? document.body).dispatchEvent(event);
}

/** Return the one element with this text, or throw. */
export function named<Kind extends HTMLElement = HTMLElement>(selector: string, text: string): Kind {
  const words = (one: HTMLElement) => one.getAttribute("aria-label") ?? one.textContent?.trim();
  const found = [...document.querySelectorAll<Kind>(selector)].filter((one) => words(one) === text);
  if (found.length !== 1) throw new Error(`${found.length} of ${selector} say ${text}`);
  return found[0]!;
}
