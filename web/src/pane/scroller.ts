/** Scrolling on the page: tells scroll.ts what happens, and moves to where it says. One listener of each kind. */

import { spacer, started, step, type Geometry, type Scroll, type ScrollEvent, type Write } from "./scroll.js";

export interface ScrollerParts {
  /** What scrolls; in it the text, and behind that the empty room below it. */
  box: HTMLElement;
  text: HTMLElement;
  room: HTMLElement;
  /** What takes room from the box as it grows. */
  below: HTMLElement;
  /** The mode, or what is offered, has changed. */
  changed(scroll: Scroll): void;
}

/** What stays so far below the top, while what follows it grows into the room. */
interface Kept {
  element: HTMLElement;
  below: number | undefined;
}

const LEAST = 64; // pixels of an element that are seen, at least

const UP = new Set(["PageUp", "Home", "ArrowUp"]);
const FIELDS = "input, textarea, select, [contenteditable]";

export class Scroller {
  #parts: ScrollerParts;
  #scroll = started();
  #kept: Kept | undefined;
  #finger = 0;
  #selects = false;
  #ends = new AbortController();
  #observer: ResizeObserver;

  constructor(parts: ScrollerParts) {
    this.#parts = parts;
    this.#observer = new ResizeObserver(() => this.measure());
    for (const element of [parts.box, parts.text, parts.below]) this.#observer.observe(element);
    this.#listen();
    this.#show();
  }

  get scroll(): Scroll {
    return this.#scroll;
  }

  /** The size of the text or of the room has changed. */
  measure(): void {
    const { box, room } = this.#parts;
    room.style.height = `${this.#spacer(box.clientHeight)}px`;
    this.#take({ type: "resized", at: this.#at() });
  }

  /** Another conversation: nothing is known of it, and its newest text is shown. */
  restart(): void {
    this.#kept = undefined;
    this.#scroll = started();
    this.#show();
    this.measure();
  }

  newest(): void {
    this.#take({ type: "newest", at: this.#at() });
  }

  /** A question was sent: it stands near the top, and its answer grows below it. One that is in view stays there. */
  sent(question: HTMLElement, stays = false): void {
    const top = this.#topOf(question);
    const inView = stays && top >= 0 && top < this.#parts.box.clientHeight;
    this.#kept = { element: question, below: inView ? top : undefined };
    this.#parts.room.style.height = `${this.#spacer(this.#parts.box.clientHeight)}px`;
    this.#take({ type: "sent", at: this.#at() });
  }

  /** Change something above or below an element, which stays where it is on the screen. By a person, it ends following. */
  keep(element: HTMLElement, change: () => HTMLElement | void, byPerson = false): void {
    let before = this.#topOf(element);
    const after = change() ?? element;
    if (byPerson) {
      // One that is much shorter would be out of view there.
      if (before + after.offsetHeight < LEAST) before = 0;
      this.#kept = { element: after, below: before };
      this.#parts.room.style.height = `${this.#spacer(this.#parts.box.clientHeight)}px`;
      this.#take({ type: "held" });
    }
    const by = this.#topOf(after) - before;
    if (Math.abs(by) < 0.5) return;
    this.#parts.box.scrollTop += by;
    this.#take({ type: "wrote", at: this.#at() });
  }

  /** Show an element in the middle; twice, because what was not drawn yet has another height. */
  show(element: HTMLElement): void {
    this.#take({ type: "held" });
    const move = () => {
      element.scrollIntoView({ block: "center" });
      this.#take({ type: "wrote", at: this.#at() });
    };
    move();
    requestAnimationFrame(move);
  }

  close(): void {
    this.#observer.disconnect();
    this.#ends.abort();
  }

  #listen(): void {
    const { box } = this.#parts;
    const { signal } = this.#ends;
    const quiet = { passive: true, signal };
    box.addEventListener("scroll", () => this.#take({ type: "scrolled", at: this.#at() }), quiet);
    box.addEventListener("wheel", (event) => this.#wheel(event), quiet);
    box.addEventListener("touchstart", ({ touches }) => (this.#finger = touches[0]?.clientY ?? 0), quiet);
    box.addEventListener("touchmove", ({ touches }) => this.#drag(touches), quiet);
    box.addEventListener("keydown", (event) => this.#key(event), { signal });
    box.addEventListener("pointerdown", (event) => this.#grab(event), quiet);
    document.addEventListener("selectionchange", () => this.#select(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.measure(), { signal });
    window.visualViewport?.addEventListener("resize", () => this.measure(), { signal }); // a keyboard on the screen
  }

  /** A box within the text that can still scroll that way takes the wheel for itself. */
  #wheel({ deltaX: x, deltaY: y, ctrlKey, target }: WheelEvent): void {
    if (ctrlKey || Math.abs(x) > Math.abs(y) || inner(target, this.#parts.box, y)) return;
    this.#take({ type: "wheel", y, at: this.#at() });
  }

  #drag(touches: TouchList): void {
    if (touches.length === 1) this.#take({ type: "drag", y: touches[0]!.clientY - this.#finger });
  }

  #key({ key, shiftKey, target }: KeyboardEvent): void {
    if (target instanceof Element && target.closest(FIELDS)) return;
    if (UP.has(key) || (key === " " && shiftKey)) this.#take({ type: "key" });
  }

  #grab({ target, offsetX }: PointerEvent): void {
    const { box } = this.#parts;
    if (target !== box || (offsetX >= 0 && offsetX < box.clientWidth)) return;
    this.#take({ type: "grab" });
    const release = () => this.#take({ type: "release", at: this.#at() });
    addEventListener("pointerup", release, { once: true, signal: this.#ends.signal });
  }

  #select(): void {
    const selection = document.getSelection();
    const selects = !!selection && !selection.isCollapsed && this.#parts.text.contains(selection.anchorNode);
    if (selects && !this.#selects) this.#take({ type: "select" });
    this.#selects = selects;
  }

  #take(event: ScrollEvent): void {
    const before = this.#scroll;
    const { scroll, writes } = step(before, event);
    this.#scroll = scroll;
    for (const write of writes) this.#write(write);
    if (scroll.mode !== before.mode || scroll.offered !== before.offered) this.#show();
  }

  #write({ top, smooth }: Write): void {
    const still = !smooth || matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#parts.box.scrollTo({ top, behavior: still ? "instant" : "smooth" });
  }

  #show(): void {
    this.#parts.box.dataset["mode"] = this.#scroll.mode;
    this.#parts.changed(this.#scroll);
  }

  #spacer(room: number): number {
    const { text } = this.#parts;
    const kept = this.#kept;
    if (!kept?.element.isConnected) return 0;
    const { top, height } = text.getBoundingClientRect();
    return spacer(room, kept.element.getBoundingClientRect().top - top, height, kept.below);
  }

  #topOf(element: HTMLElement): number {
    return element.getBoundingClientRect().top - this.#parts.box.getBoundingClientRect().top;
  }

  #at(): Geometry {
    const { scrollTop: top, scrollHeight: height, clientHeight: room } = this.#parts.box;
    return { top, height, room };
  }
}

/** Whether something between the target and the box can scroll that way. */
function inner(target: EventTarget | null, box: HTMLElement, y: number): boolean {
  for (let at = target instanceof Element ? target : null; at && at !== box; at = at.parentElement) {
    if (at.scrollHeight <= at.clientHeight + 1 || !/auto|scroll/.test(getComputedStyle(at).overflowY)) continue;
    if (y < 0 ? at.scrollTop > 0 : at.scrollTop + at.clientHeight < at.scrollHeight - 1) return true;
  }
  return false;
}
