/** Draws long answers in a page, by the chat page's own text and by others. */

import * as probe from "./probe.js";

const PIECES_A_FRAME = 4;

/** What is finished one by one in each kind of text. */
const PARTS = { "mixed text": "#into > :not(.part, .group), .part > *", "one list": "#into li", "one table": "#into tbody tr", "one code block": "#into .lines" };
const NAMES = { "one code block": "one fence" };

const ours = (element) => {
  const { answer } = probe.begin({}, element);
  return { add: (piece) => answer.append(piece), end: () => answer.end(), close() {} };
};

function place() {
  const into = document.createElement("div");
  into.id = "into";
  document.querySelector(".turn").replaceChildren(into);
  return into;
}

/** A frame's end: what was put off until later is done, the newest text is in view, and all is laid out. */
function frame(scroller) {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      scroller.scrollTop = scroller.scrollHeight;
      resolve();
    };
    port2.postMessage(undefined);
  });
}

const text = (kind, pieces) => probe.KINDS[NAMES[kind] ?? kind](pieces);

let shown;
let all = [];
let at = 0;

/** Begin an answer; nothing of it is drawn yet. */
export async function begin(who, kind, pieces) {
  const way = who === "ours" ? ours : (await import("./peers.js"))[who];
  shown = way(place());
  all = probe.cut(text(kind, pieces));
  at = 0;
}

/** Draw so many more pieces of the answer; with the last of them, its end. */
export async function go(pieces) {
  const scroller = document.querySelector(".scroller");
  for (const until = Math.min(at + pieces, all.length); at < until; at += PIECES_A_FRAME) {
    shown.add(all.slice(at, at + PIECES_A_FRAME).join(""));
    await frame(scroller);
  }
  if (at < all.length) return;
  shown.end();
  await frame(scroller);
}

/** Draw an answer, and count what happens to parts of it that are finished, and what is made after its end. */
export async function watch(kind, pieces) {
  const counts = { finished: 0, replaced: 0, after: 0 };
  const element = place();
  const { answer } = probe.begin({}, element);
  const kept = new Set();
  const observer = new MutationObserver(() => {});
  observer.observe(element, { childList: true, subtree: true });
  const look = () => observer.takeRecords().flatMap(({ removedNodes }) => [...removedNodes]).filter((node) => kept.has(node)).length;
  let last = element.firstElementChild;
  for (const piece of probe.cut(text(kind, pieces))) {
    answer.append(piece);
    counts.replaced += look();
    const parts = document.querySelectorAll(PARTS[kind]);
    // The last one may change, and the one before it while an empty line between them may go.
    for (; counts.finished < parts.length - 2; counts.finished++) {
      last = parts[counts.finished];
      kept.add(last);
      for (const node of last.querySelectorAll("*")) kept.add(node);
    }
  }
  observer.takeRecords();
  answer.end();
  counts.after = observer.takeRecords().reduce((sum, { addedNodes }) => sum + addedNodes.length, 0);
  return counts;
}
