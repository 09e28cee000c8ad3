/**
 * Where the reader is: at the newest text, which stays in view while it grows, or reading, where nothing moves. Pure.
 *
 * How it works: only a person changes between the two. What the wheel, a finger, a key or a selection says comes before
 * the scrolling that it causes; of a scrolling without such a word, its place tells who did it. The page remembers each
 * place that it wrote; a browser goes to a smaller end (a clamp), or moves by what was added above (anchoring); all else is
 * the person. No time and no distance alone decides.
 */

export type Mode = "following" | "reading";

/** As the browser has them: scrollTop, scrollHeight and clientHeight. */
export interface Geometry {
  readonly top: number;
  readonly height: number;
  readonly room: number;
}

export interface Scroll {
  readonly mode: Mode;
  /** Whether the way to the newest text is offered. */
  readonly offered: boolean;
  readonly last: Geometry;
  /** Places that the page wrote, and of which the browser has not told yet. */
  readonly wrote: readonly number[];
  /** How far up the person has moved while the newest text is followed. */
  readonly drift: number;
}

/**
 * - `scrolled`: the browser tells of a scrolling, whoever did it
 * - `resized`: the text or the room for it has another size
 * - `wheel`: `up` and `down` only; within a box that can scroll itself it says nothing
 * - `drag`: a finger moved so far; down the screen is up the text
 * - `key`: of a key that leads up, pressed outside of fields
 * - `select`: a selection of text was begun
 * - `grab`, `release`: of the bar
 * - `newest`: the person wants the newest text
 * - `sent`: the person has sent a question
 * - `held`: the person changed something, and what was looked at is kept where it is
 * - `wrote`: the page moved to this place itself
 */
export type ScrollEvent =
  | { type: "scrolled" | "resized" | "release" | "newest" | "sent"; at: Geometry }
  | { type: "wheel"; y: number; at: Geometry }
  | { type: "drag"; y: number }
  | { type: "key" | "select" | "grab" | "held" }
  | { type: "wrote"; at: Geometry };

/** A place to move to; `smooth` where the person is to see the way. */
export interface Write {
  readonly top: number;
  readonly smooth: boolean;
}

interface Stepped {
  readonly scroll: Scroll;
  readonly writes: readonly Write[];
}

const OWN = 1.5; // pixels by which browsers round a place
const DRIFT = 3; // pixels up that are no rounding
const DRAG = 10; // pixels after which a finger does not rest
const NEAR = 60; // from the end; nearer is at the end
const FAR = 200; // from the end; farther is away from it
const GLIDE = 2500; // pixels that a movement may take; of a longer way the last of it is seen
const REMEMBERED = 8;
const BELOW = 50; // the question stands so far below the top

/** Return the largest place. */
export const endOf = ({ height, room }: Geometry): number => Math.max(0, height - room);

const distance = (at: Geometry): number => endOf(at) - at.top;

const START: Geometry = { top: 0, height: 0, room: 0 };

export const started = (): Scroll => ({ mode: "following", offered: false, last: START, wrote: [], drift: 0 });

/**
 * Return how much room stands below the text, so that something can be `below` pixels under the top: a question that was
 * sent, with its answer growing into that room, and nothing moves until it is full. `kept` and `end` are where it and the
 * text's end are, measured in the text.
 */
export function spacer(room: number, kept: number, end: number, below: number = BELOW): number {
  return Math.max(0, room - below - (end - kept));
}

/** Take what happened; return where to move. */
export function step(scroll: Scroll, event: ScrollEvent): Stepped {
  switch (event.type) {
    case "scrolled":
      return quiet(scrolled(scroll, event.at));
    case "resized":
      return scroll.mode === "following" ? follow(scroll, event.at) : quiet(seen(scroll, event.at));
    case "wheel":
      return quiet(wheeled(scroll, event.y, event.at));
    case "drag":
      return quiet(event.y > DRAG && scroll.last.top > 0 ? read(scroll) : scroll);
    case "key":
      return quiet(scroll.last.top > 0 ? read(scroll) : scroll);
    case "select":
    case "grab":
    case "held":
      return quiet(read(scroll));
    case "release":
      return quiet(distance(event.at) <= NEAR ? follower(seen(scroll, event.at)) : seen(scroll, event.at));
    case "newest":
      return glide(scroll, event.at);
    case "sent":
      return follow(follower(scroll), event.at);
    case "wrote":
      return quiet(written(scroll, event.at));
  }
}

const quiet = (scroll: Scroll): Stepped => ({ scroll, writes: [] });

/** What was written before is forgotten: who comes back to such a place is the person. */
const read = (scroll: Scroll): Scroll =>
  scroll.mode === "reading" ? scroll : offer({ ...scroll, mode: "reading", wrote: [], drift: 0 });

const follower = (scroll: Scroll): Scroll => ({ ...scroll, mode: "following", offered: false, drift: 0 });

/** Between near and far, what is offered stays as it is: it does not flicker. */
function offer(scroll: Scroll): Scroll {
  const away = distance(scroll.last);
  const offered = scroll.mode === "reading" && (scroll.offered ? away > NEAR : away > FAR);
  return offered === scroll.offered ? scroll : { ...scroll, offered };
}

const seen = (scroll: Scroll, at: Geometry): Scroll => offer({ ...scroll, last: at });

function written(scroll: Scroll, at: Geometry): Scroll {
  return seen({ ...scroll, wrote: [...scroll.wrote, at.top].slice(-REMEMBERED) }, at);
}

function follow(scroll: Scroll, at: Geometry): Stepped {
  const top = endOf(at);
  // Beyond its ends Safari's text swings back by itself, and a place that is written then is lost.
  if (at.top < 0 || at.top > top + OWN || Math.abs(at.top - top) < 0.5) return quiet(seen(scroll, at));
  return { scroll: written(scroll, { ...at, top }), writes: [{ top, smooth: false }] };
}

function glide(scroll: Scroll, at: Geometry): Stepped {
  const top = endOf(at);
  const near = top - GLIDE;
  const first: Write[] = at.top < near ? [{ top: near, smooth: false }] : [];
  const moved = first.length ? written(scroll, { ...at, top: near }) : seen(scroll, at);
  return { scroll: follower(moved), writes: [...first, { top, smooth: true }] };
}

function wheeled(scroll: Scroll, y: number, at: Geometry): Scroll {
  if (y < 0) return at.top > 0 ? read(scroll) : scroll;
  // At the very end nothing scrolls any more that could tell of it.
  return y > 0 && distance(at) <= OWN ? follower(seen(scroll, at)) : scroll;
}

function scrolled(scroll: Scroll, at: Geometry): Scroll {
  const own = scroll.wrote.findIndex((top) => Math.abs(top - at.top) <= OWN);
  if (own >= 0) return seen({ ...scroll, wrote: scroll.wrote.slice(own + 1), drift: 0 }, at);
  const { last } = scroll;
  const by = at.top - last.top;
  if (clamped(last, at) || anchored(last, at)) return seen(scroll, at);
  const now = seen(scroll, at);
  if (scroll.mode === "reading") return by > 0 && distance(at) <= NEAR ? follower(now) : now;
  const drift = by < 0 ? scroll.drift - by : 0;
  return drift > DRIFT ? read({ ...now, drift }) : { ...now, drift };
}

/** The text has become shorter, and the browser moved to its new end. */
function clamped(last: Geometry, at: Geometry): boolean {
  return endOf(at) < endOf(last) && at.top < last.top && Math.abs(at.top - endOf(at)) <= OWN;
}

/** Something has changed its size above, and the browser moved by as much. */
function anchored(last: Geometry, at: Geometry): boolean {
  const by = at.top - last.top;
  return by !== 0 && Math.abs(by - (at.height - last.height)) <= OWN;
}
