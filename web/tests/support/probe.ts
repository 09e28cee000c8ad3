/** What is asked of an answer in a real browser, as one module: its text drawn piece by piece, and what that costs. */

import { type AnswerOptions, Answer } from "../../src/text/index.js";
import { coloured } from "../../src/text/code.js";
import { drawn } from "../../src/text/math.js";
import { words } from "./answers.js";
import { ATTACKS, wrong } from "./attacks.js";
import { HALVES, seen } from "./halves.js";

export { ATTACKS } from "./attacks.js";
export { cost } from "./meter.js";
export { cut, KINDS } from "./texts.js";

/** Return an answer, alone in the page's conversation unless it has a place, and a way to add a piece and draw it at once. */
export function begin(options: Partial<AnswerOptions> = {}, element: HTMLElement = alone()): { answer: Answer; element: HTMLElement; piece: (text: string) => void } {
  const answer = new Answer(element, { words, frame: (draw) => draw(), budget: Infinity, ...options });
  return { answer, element, piece: (text) => answer.append(text) };
}

function alone(): HTMLElement {
  const element = document.createElement("div");
  const turn = document.createElement("article");
  turn.className = "turn of-model";
  turn.append(element);
  document.querySelector(".log")!.replaceChildren(turn);
  return element;
}

/** What may show a part of itself only: text may be wider in it than it is. */
const SCROLLS = "pre, .table, .math.display, .katex";

/** Return what stands outside of an answer's box, or at its edge without being cut. */
export function outside(element: HTMLElement): string[] {
  const box = element.getBoundingClientRect();
  const out = [...element.querySelectorAll("*")].filter((node) => {
    if (node.parentElement!.closest(SCROLLS)) return false;
    const { left, right, top, bottom, width, height } = node.getBoundingClientRect();
    return width * height > 0 && (left < box.left - 1 || right > box.right + 1 || top < box.top - 1 || bottom > box.bottom + 1);
  });
  return out.map((node) => `${node.localName} ${node.textContent!.slice(0, 40)}`);
}

/** Return what a hostile text became, or where it was drawn, at any character. */
export function attacked(): string[] {
  const found: string[] = [];
  for (const text of ATTACKS) {
    const { answer, element, piece } = begin();
    const look = () => void found.push(...[...wrong(element), ...outside(element)].map((one) => `${one} in ${text}`));
    for (const character of text) {
      piece(character);
      look();
    }
    answer.end();
    look();
  }
  return found;
}

/** Return what is another text when it is split somewhere. */
export function split(): string[] {
  // The ids of notes are the answer's own.
  const html = (element: HTMLElement) => element.innerHTML.replace(/notes-\d+/g, "notes");
  const found: string[] = [];
  for (const text of [...ATTACKS, ...HALVES.map(([, text]) => text)]) {
    const whole = begin();
    whole.answer.set(text);
    const wanted = html(whole.element);
    for (let at = 0; at <= text.length; at++) {
      const { answer, element, piece } = begin();
      piece(text.slice(0, at));
      piece(text.slice(at));
      answer.end();
      if (html(element) !== wanted) found.push(`${text} at ${at}: ${element.innerHTML}`);
    }
  }
  return found;
}

/** Return which signs of half Markdown are seen at any character, and what comes and goes more than once; for how many kinds. */
export function half(): { kinds: number; found: string[] } {
  const found: string[] = [];
  for (const [kind, text, signs] of HALVES) {
    const { element, piece } = begin();
    const gone = new Map<string, number>();
    const observer = new MutationObserver(() => {});
    observer.observe(element, { childList: true, subtree: true });
    for (let at = 0; at < text.length; at++) {
      piece(text[at]!);
      if (signs.test(seen(element))) found.push(`${kind}: ${text.slice(0, at + 1)}`);
      const removed = observer.takeRecords().flatMap(({ removedNodes }) => [...removedNodes]);
      for (const { nodeName } of removed.filter((node) => node instanceof Element)) gone.set(nodeName, (gone.get(nodeName) ?? 0) + 1);
    }
    for (const [name, times] of gone) if (times > 1) found.push(`${kind}: ${name} came and went ${times} times`);
  }
  return { kinds: HALVES.length, found };
}

/** Show a text at once, with all that loads for it. */
export async function show(text: string): Promise<HTMLElement> {
  const { answer, element } = begin();
  answer.set(text);
  await Promise.all([drawn(), coloured()]);
  return element;
}
