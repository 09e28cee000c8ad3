/** Answers for tests: drawn when the test says so. */

import { Answer, type AnswerOptions, type Words } from "../../src/text/index.js";

export const words: Words = {
  code: "Code",
  copy: "Copy",
  copied: "Copied",
  notCopied: "Could not copy",
  wrap: "Wrap",
  table: "Table",
  picture: (host, alt) => `Show the picture ${alt} from ${host}`,
  notes: "Notes",
  note: (number) => `Note ${number}`,
  back: (number) => `Back to ${number}`,
};

export interface Drawn {
  answer: Answer;
  element: HTMLElement;
  /** Add a piece and draw a frame. */
  piece: (text: string) => void;
}

/** Return an answer in the page whose frames the test draws. */
export function begin(options: Partial<AnswerOptions> = {}): Drawn {
  const element = document.createElement("div");
  document.body.replaceChildren(element);
  const frames: (() => void)[] = [];
  const answer = new Answer(element, { words, frame: (draw) => frames.push(draw), budget: Infinity, ...options });
  const piece = (text: string) => {
    answer.append(text);
    for (let frame; (frame = frames.shift()); ) frame();
  };
  return { answer, element, piece };
}

/** Draw a text that arrives in those pieces, and its end. */
export function streamed(pieces: Iterable<string>, options: { dollars?: boolean } = {}): HTMLElement {
  const { answer, element, piece } = begin(options);
  for (const text of pieces) piece(text);
  answer.end();
  return element;
}

export function whole(text: string, options: { dollars?: boolean } = {}): HTMLElement {
  const { answer, element } = begin(options);
  answer.set(text);
  return element;
}
