/** The adapter of scrolling on elements whose layout the test says: jsdom has none. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Scroller } from "../../src/pane/scroller.js";

let box: HTMLElement;
let text: HTMLElement;
let room: HTMLElement;
let below: HTMLElement;
let scroller: Scroller;
let height: number; // of the text
let tops: Map<Element, number>; // in the text
let resized: () => void;
let top: number;
let seen: string[];

const viewport = () => (below.dataset["tall"] ? 400 : 600);
const whole = () => height + parseFloat(room.style.height || "0");
const end = () => Math.max(0, whole() - viewport());

beforeEach(() => {
  document.body.replaceChildren();
  const made = (id: string) => Object.assign(document.createElement("div"), { id });
  [box, text, room, below] = [made("box"), made("text"), made("room"), made("below")];
  box.append(text, room);
  document.body.append(box, below);
  height = 2000;
  top = 0;
  tops = new Map();
  seen = [];
  const get = (element: HTMLElement, name: string, read: () => number, write?: (value: number) => void) =>
    Object.defineProperty(element, name, { get: read, ...(write && { set: write }), configurable: true });
  get(box, "clientHeight", viewport);
  get(box, "clientWidth", () => 500);
  get(box, "scrollHeight", whole);
  get(box, "scrollTop", () => Math.min(top, end()), (value) => (top = Math.min(Math.max(0, value), end())));
  box.scrollTo = ((to: ScrollToOptions) => (box.scrollTop = to.top!)) as never;
  vi.spyOn(Element.prototype, "getBoundingClientRect").mockImplementation(function (this: Element) {
    const at = this === box ? 0 : (tops.get(this) ?? 0) - box.scrollTop;
    return { top: at, height: this === text ? height : 0 } as DOMRect;
  });
  vi.stubGlobal("matchMedia", () => ({ matches: true }));
  vi.stubGlobal("ResizeObserver", class {
    constructor(call: () => void) {
      resized = call;
    }
    observe(element: Element): void {
      seen.push(element.id);
    }
    disconnect(): void {
      seen = [];
    }
  });
  scroller = new Scroller({ box, text, room, below, changed: () => {} });
  resized();
});
afterEach(() => {
  scroller.close();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const mode = () => box.dataset["mode"];
const away = () => end() - box.scrollTop;

function add(at: number): HTMLElement {
  const element = document.createElement("article");
  text.append(element);
  tops.set(element, at);
  return element;
}

function wheel(y: number, target: Element = text, more: WheelEventInit = {}): void {
  target.dispatchEvent(new WheelEvent("wheel", { deltaY: y, bubbles: true, ...more }));
}

function grow(by: number): void {
  height += by;
  resized();
}

test("it watches what grows, the room for it, and the box below", () => {
  expect(seen).toEqual(["box", "text", "below"]);
  expect(away()).toBe(0);
  grow(700);
  expect(away()).toBe(0);
  below.dataset["tall"] = "yes";
  resized();
  expect([away(), mode()]).toEqual([0, "following"]);
});

test("the wheel leaves the newest text, but not with Ctrl, not sideways, and not for a box in the text that takes it", () => {
  const code = text.appendChild(document.createElement("pre"));
  code.style.overflowY = "auto";
  for (const [name, value] of [["scrollHeight", 900], ["clientHeight", 300], ["scrollTop", 50]] as const) {
    Object.defineProperty(code, name, { value });
  }
  wheel(-100, text, { ctrlKey: true });
  wheel(-100, text, { deltaX: 300 });
  wheel(-100, code);
  expect(mode()).toBe("following");
  wheel(-100);
  expect(mode()).toBe("reading");
  const before = box.scrollTop;
  grow(900);
  expect([box.scrollTop, scroller.scroll.offered]).toEqual([before, true]);
  scroller.newest();
  expect([away(), mode(), scroller.scroll.offered]).toEqual([0, "following", false]);
});

test("keys in a field and a selection elsewhere say nothing; in the text they do", () => {
  const field = text.appendChild(document.createElement("textarea"));
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true }));
  expect(mode()).toBe("following");
  text.dispatchEvent(new KeyboardEvent("keydown", { key: "PageUp", bubbles: true }));
  expect(mode()).toBe("reading");
});

test("a selection that begins in the text stays in view", () => {
  const words = text.appendChild(document.createTextNode("some words"));
  below.append("other words");
  document.getSelection()!.setBaseAndExtent(below.firstChild!, 0, below.firstChild!, 3);
  document.dispatchEvent(new Event("selectionchange"));
  expect(mode()).toBe("following");
  document.getSelection()!.setBaseAndExtent(words, 0, words, 4);
  document.dispatchEvent(new Event("selectionchange"));
  expect(mode()).toBe("reading");
  // While the same selection grows, who has come back stays there.
  scroller.newest();
  document.dispatchEvent(new Event("selectionchange"));
  expect(mode()).toBe("following");
});

test("a question that was sent stands 50 pixels below the top, and nothing moves until its answer fills the room", () => {
  const question = add(2000);
  height = 2100;
  scroller.sent(question);
  expect(question.getBoundingClientRect().top).toBe(50);
  for (const by of [50, 200, 200]) {
    grow(by);
    expect(question.getBoundingClientRect().top).toBe(50);
  }
  grow(300);
  expect([away(), room.style.height]).toEqual([0, "0px"]);
});

test("what is answered again stays where it is on the screen", () => {
  const question = add(1600);
  scroller.sent(question, true);
  expect(question.getBoundingClientRect().top).toBe(200);
  height = 1700; // the answer before is gone
  resized();
  expect(question.getBoundingClientRect().top).toBe(200);
});

test("older messages stand above what is read, which stays", () => {
  wheel(-100);
  box.scrollTop = 300;
  const first = add(320);
  scroller.keep(first, () => {
    tops.set(first, 320 + 4000);
    height += 4000;
  });
  expect([first.getBoundingClientRect().top, mode()]).toEqual([20, "reading"]);
});

test("of two versions the other one stands where the one stood, also where it is shorter", () => {
  const one = add(1700);
  const at = one.getBoundingClientRect().top;
  let other!: HTMLElement;
  scroller.keep(one, () => {
    one.remove();
    height = 1750;
    return (other = add(1700));
  }, true);
  expect([other.getBoundingClientRect().top, mode()]).toEqual([at, "reading"]);
});

test("closed, it listens to nothing", () => {
  scroller.close();
  wheel(-100);
  expect([mode(), seen]).toEqual(["following", []]);
});
