/** Menus: a list of actions or of choices beside the button that opens it, used with arrows, letters and Esc. */

import { composing, icon, make } from "./dom.js";

export interface Item {
  readonly label: string;
  /** What is said below it. */
  readonly note?: string;
  readonly icon?: string;
  readonly danger?: boolean;
  /** Of several choices, the one that holds; undefined for an action. */
  readonly checked?: boolean;
  act(): void;
}

const EDGE = 8;
const GAP = 4;

const openers = new WeakSet<HTMLElement>();

/** A press beside a menu closes it; on its own button the click that follows would open it again. */
function closedBy(opener: HTMLElement): boolean {
  if (!openers.has(opener)) {
    openers.add(opener);
    opener.addEventListener("pointerdown", () => opener.toggleAttribute("data-closes", opener.getAttribute("aria-expanded") === "true"));
  }
  const closes = opener.hasAttribute("data-closes");
  opener.removeAttribute("data-closes");
  return closes;
}

/** Show a menu beside a button; it is gone as soon as something is chosen, or anything else gets the focus. */
export function openMenu(opener: HTMLElement, label: string, items: readonly Item[]): void {
  if (closedBy(opener)) return;
  const menu = make("div", { class: "menu", role: "menu", popover: "auto", "aria-label": label });
  const buttons = items.map((item) => {
    const made = entry(item);
    made.addEventListener("click", () => {
      menu.hidePopover();
      item.act();
    });
    return made;
  });
  menu.append(...buttons);
  menu.addEventListener("keydown", (event) => steer(event, menu, buttons));
  menu.addEventListener("toggle", (event) => {
    if ((event as ToggleEvent).newState === "open") return;
    opener.setAttribute("aria-expanded", "false");
    menu.remove();
  });
  // It belongs to the part of the page that its button is in; and what is outside of a modal dialog cannot be reached.
  (opener.closest("nav, header, main, dialog") ?? document.body).append(menu);
  opener.setAttribute("aria-expanded", "true");
  menu.showPopover();
  put(menu, opener.getBoundingClientRect());
  (buttons.find((one) => one.getAttribute("aria-checked") === "true") ?? buttons[0])?.focus();
}

function entry({ label, note, icon: name, danger, checked }: Item): HTMLButtonElement {
  const role = checked === undefined ? "menuitem" : "menuitemradio";
  const made = make("button", { type: "button", role, tabindex: "-1", class: danger ? "danger" : "" });
  if (checked !== undefined) made.setAttribute("aria-checked", `${checked}`);
  if (name) made.append(icon(name));
  else if (checked !== undefined) made.append(checked ? icon("check") : make("span", { class: "icon" }));
  made.append(make("span", { class: "words" }, make("span", { dir: "auto" }, label), ...(note ? [make("small", {}, note)] : [])));
  return made;
}

/** Put a menu below a button, or above it where there is more room, and inside of the window. */
function put(menu: HTMLElement, at: DOMRect): void {
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = innerHeight - at.bottom - GAP - EDGE;
  const top = height <= below || at.top < below ? at.bottom + GAP : Math.max(EDGE, at.top - GAP - height);
  const rightwards = getComputedStyle(menu).direction === "ltr" && at.left + width <= innerWidth - EDGE;
  const left = rightwards ? at.left : at.right - width;
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.min(Math.max(EDGE, left), Math.max(EDGE, innerWidth - width - EDGE))}px`;
  menu.style.maxHeight = `${innerHeight - top - EDGE}px`;
}

function steer(event: KeyboardEvent, menu: HTMLElement, buttons: readonly HTMLButtonElement[]): void {
  if (composing(event)) return;
  const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
  const to = target(event.key, at, buttons);
  if (event.key === "Tab") menu.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  buttons[to]?.focus();
}

function target(key: string, at: number, buttons: readonly HTMLButtonElement[]): number | undefined {
  const count = buttons.length;
  if (key === "ArrowDown") return (at + 1) % count;
  if (key === "ArrowUp") return (at - 1 + count) % count;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (key.length !== 1 || key === " ") return undefined;
  const begins = (one: HTMLButtonElement) => one.textContent?.trim().toLowerCase().startsWith(key.toLowerCase());
  const found = [...buttons.slice(at + 1), ...buttons.slice(0, at + 1)].find(begins);
  return found && buttons.indexOf(found);
}
