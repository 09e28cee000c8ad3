/** How much of what has come is shown in a frame: smoothly, but never long behind the network. Pure. */

const BEHIND = 150; // milliseconds that the text shown may be behind
const MOST = 1500; // characters; more of them is something that was missed, and is shown at once
const LEAST = 2;

/** Return how many more characters are shown of those that wait, `passed` ms after the last frame. */
export function revealed(waiting: number, passed: number, atOnce: boolean): number {
  if (atOnce || waiting > MOST || passed >= BEHIND) return waiting;
  return Math.min(waiting, Math.max(LEAST, Math.ceil((waiting * passed) / BEHIND)));
}
