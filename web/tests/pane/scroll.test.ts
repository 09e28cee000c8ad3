import { describe, expect, test } from "vitest";

import { endOf, spacer, started, step, type Scroll, type ScrollEvent } from "../../src/pane/scroll.js";
import { chance } from "../support/chance.js";

/** A browser's box: it clamps, anchors, and tells of each scrolling later, with the place of then. */
class Box {
  scroll: Scroll = started();
  top = 0;
  height: number;
  room: number;
  #told = true;

  constructor(height = 3000, room = 600) {
    this.height = height;
    this.room = room;
    this.resize();
  }

  get at() {
    return { top: this.top, height: this.height, room: this.room };
  }

  get mode() {
    return this.scroll.mode;
  }

  get away() {
    return endOf(this.at) - this.top;
  }

  take(event: ScrollEvent): void {
    const { scroll, writes } = step(this.scroll, event);
    this.scroll = scroll;
    for (const { top } of writes) this.#go(top);
  }

  #go(top: number): void {
    const to = Math.min(Math.max(0, top), endOf(this.at));
    if (to === this.top) return;
    this.top = to;
    this.#told = false;
  }

  /** The browser's next frame: what was scrolled is told of. */
  frame(): void {
    if (this.#told) return;
    this.#told = true;
    this.take({ type: "scrolled", at: this.at });
  }

  resize(): void {
    this.#go(this.top); // the clamp
    this.take({ type: "resized", at: this.at });
    this.frame();
  }

  grow(by: number): void {
    this.height += by;
    this.resize();
  }

  /** Something above what is read has another size; while the newest text is followed, the browser does not anchor. */
  growAbove(by: number): void {
    this.height += by;
    if (this.mode === "reading") this.#go(this.top + by);
    this.resize();
  }

  person(by: number): void {
    this.#go(this.top + by);
    this.frame();
  }

  wheel(y: number): void {
    this.take({ type: "wheel", y, at: this.at });
    this.person(y);
  }
}

describe("the newest text", () => {
  test("stays in view while it grows", () => {
    const box = new Box();
    for (let piece = 0; piece < 50; piece++) {
      box.grow(piece % 7 ? 24 : 900);
      expect(box.away).toBe(0);
    }
    expect(box.mode).toBe("following");
  });

  test("stays in view when thoughts fold, code shrinks, or a draft or a keyboard takes room", () => {
    const box = new Box();
    for (const change of [-800, 300, -2000, 40]) box.grow(change);
    for (const room of [300, 620, 200]) {
      box.room = room;
      box.resize();
      expect([box.mode, box.away]).toEqual(["following", 0]);
    }
  });

  test("is not left by a scrolling of the page's own that the browser rounds", () => {
    const box = new Box();
    for (let piece = 0; piece < 20; piece++) {
      box.height += 24.4;
      box.take({ type: "resized", at: box.at });
      box.take({ type: "scrolled", at: { ...box.at, top: box.top - (piece % 2 ? 0.7 : 1.2) } });
      expect(box.mode).toBe("following");
    }
  });

  test("is not left by a clamp of which the browser tells before the page has measured", () => {
    const box = new Box();
    box.height -= 500;
    box.top = endOf(box.at);
    box.take({ type: "scrolled", at: box.at });
    expect(box.mode).toBe("following");
  });

  test("is not written while the text swings beyond its ends", () => {
    const box = new Box();
    for (const top of [-30, endOf(box.at) + 30]) {
      const { writes } = step(box.scroll, { type: "resized", at: { ...box.at, top } });
      expect(writes).toEqual([]);
    }
  });
});

describe("a person leaves it", () => {
  test.each<[string, (box: Box) => void]>([
    ["with the wheel", (box) => box.wheel(-100)],
    ["with a small turn of it", (box) => box.wheel(-1)],
    ["with a finger", (box) => box.take({ type: "drag", y: 11 })],
    ["with a key", (box) => box.take({ type: "key" })],
    ["with the bar", (box) => box.take({ type: "grab" })],
    ["by selecting text", (box) => box.take({ type: "select" })],
    ["by comparing versions", (box) => box.take({ type: "held" })],
    ["in a way that only the place tells of", (box) => box.person(-40)],
    ["slowly", (box) => [1, 1, 1, 1].forEach(() => box.person(-1.6))],
  ])("%s, and nothing moves then", (_, leave) => {
    const box = new Box();
    leave(box);
    const { top } = box;
    for (let piece = 0; piece < 30; piece++) box.grow(60);
    expect([box.mode, box.top]).toEqual(["reading", top]);
  });

  test("but not with a finger that rests, nor where there is nothing to scroll", () => {
    const box = new Box();
    box.take({ type: "drag", y: 9 });
    box.take({ type: "drag", y: -200 });
    box.wheel(200);
    expect(box.mode).toBe("following");
    const short = new Box(300, 600);
    short.wheel(-100);
    short.take({ type: "key" });
    short.take({ type: "drag", y: 60 });
    short.grow(900);
    expect([short.mode, short.away]).toEqual(["following", 0]);
  });
});

describe("a person comes back", () => {
  test("by scrolling down to the end, also to the place that it was left at", () => {
    const box = new Box();
    box.wheel(-300);
    box.wheel(200);
    expect(box.mode).toBe("reading");
    box.wheel(100);
    expect(box.mode).toBe("following");
    box.grow(500);
    expect(box.away).toBe(0);
  });

  test("within 60 pixels of the end, but only on the way down", () => {
    const box = new Box();
    box.wheel(-40);
    expect(box.mode).toBe("reading");
    box.wheel(-10);
    expect(box.mode).toBe("reading");
    box.wheel(5);
    expect(box.mode).toBe("following");
  });

  test("with the wheel where nothing scrolls any more", () => {
    const box = new Box();
    box.take({ type: "select" });
    box.wheel(100);
    expect(box.mode).toBe("following");
  });

  test("by letting the bar go at the end, and not elsewhere", () => {
    const box = new Box();
    box.take({ type: "grab" });
    box.person(-900);
    box.take({ type: "release", at: box.at });
    expect(box.mode).toBe("reading");
    box.take({ type: "grab" });
    box.person(880);
    box.take({ type: "release", at: box.at });
    expect(box.mode).toBe("following");
  });

  test("by the button, of a long way seeing only the last of it", () => {
    const box = new Box(20_000);
    box.wheel(-9000);
    const { writes } = step(box.scroll, { type: "newest", at: box.at });
    expect(writes).toEqual([{ top: 19_400 - 2500, smooth: false }, { top: 19_400, smooth: true }]);
    box.take({ type: "newest", at: box.at });
    expect([box.mode, box.scroll.offered]).toEqual(["following", false]);
    box.frame();
    expect(box.mode).toBe("following");
  });

  test("by sending", () => {
    const box = new Box();
    box.wheel(-900);
    box.height += 200;
    box.take({ type: "sent", at: box.at });
    expect([box.mode, box.away]).toEqual(["following", 0]);
  });

  test("and nothing else does: not a clamp, not what grows above, not the page's own places", () => {
    const box = new Box();
    box.wheel(-500);
    box.growAbove(700);
    box.growAbove(-300);
    expect([box.mode, box.away]).toEqual(["reading", 500]);
    box.grow(-500);
    expect([box.mode, box.away]).toEqual(["reading", 0]);
    box.grow(300);
    box.top = endOf(box.at) - 20;
    box.take({ type: "wrote", at: box.at });
    box.take({ type: "scrolled", at: box.at });
    expect(box.mode).toBe("reading");
  });
});

test("the way back is offered beyond 200 pixels, until 60, and never at the newest text", () => {
  const box = new Box();
  const seen: boolean[] = [];
  for (const by of [-100, -90, -20, 100, 40, 11]) {
    box.person(by);
    seen.push(box.scroll.offered);
  }
  expect(seen).toEqual([false, false, true, true, true, false]);
  expect(box.mode).toBe("following");
  box.take({ type: "select" });
  expect(box.scroll.offered).toBe(false);
  box.grow(140);
  expect(box.scroll.offered).toBe(false);
  box.grow(100);
  expect(box.scroll.offered).toBe(true);
});

describe("the room below a question", () => {
  test("lets it stand below the top, and shrinks as the answer grows, so that nothing moves", () => {
    const question = 2000;
    const box = new Box(2000, 600);
    const places = [0, 100, 250, 400, 600, 601].map((answer) => {
      const end = question + 80 + answer;
      box.height = end + spacer(box.room, question, end);
      box.resize();
      return box.top;
    });
    expect(places).toEqual([1950, 1950, 1950, 1950, 2080, 2081]);
  });

  test("keeps any place on the screen, and is none below a long text", () => {
    expect(spacer(600, 1000, 1100, 200)).toBe(300);
    expect(spacer(600, 1000, 5000)).toBe(0);
  });
});

test.each([1, 2, 3, 4, 5, 6, 7, 8])("whatever happens, only a person changes what is followed (seed %i)", (seed) => {
  const pick = chance(seed);
  const box = new Box();
  for (let turn = 0; turn < 400; turn++) {
    const before = box.mode;
    const { top } = box;
    switch (pick(["grow", "shrink", "above", "room", "wheel"])) {
      case "grow":
        box.grow(pick([1, 24, 300, 3000]));
        break;
      case "shrink":
        box.grow(-Math.min(pick([1, 60, 500]), box.height - 700));
        break;
      case "above":
        if (before === "reading" && top > 500) box.growAbove(pick([120, -120]));
        break;
      case "room":
        box.room = pick([300, 600, 640]);
        box.resize();
        break;
      default:
        box.wheel(pick([-300, -20, 20, 400]));
        continue;
    }
    expect(box.mode).toBe(before);
    if (before === "following") expect(box.away).toBe(0);
    else if (box.scroll.offered) expect(box.away).toBeGreaterThan(60);
    else expect(box.away).toBeLessThanOrEqual(200);
  }
});
