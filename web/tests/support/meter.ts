/** Counts of what drawing an answer costs: characters that the lexer is given, and that it searches for the ends of marks, pieces of text, and operations on the page's nodes. */

import { Lexer, Tokenizer } from "marked";

export interface Cost {
  lexed: number;
  searched: number;
  texts: number;
  made: number;
  operations: number;
}

type Method = (...all: unknown[]) => unknown;

/** Run something and return what it cost. */
export function cost(run: () => void): Cost {
  const count: Cost = { lexed: 0, searched: 0, texts: 0, made: 0, operations: 0 };
  const undo: (() => void)[] = [];
  const watch = (owner: object, name: string, note: (all: unknown[]) => void) => {
    const methods = owner as Record<string, Method>;
    const real = methods[name]!;
    methods[name] = function (this: unknown, ...all) {
      note(all);
      return real.apply(this, all);
    };
    undo.push(() => (methods[name] = real));
  };
  for (const name of ["blockTokens", "inlineTokens"]) watch(Lexer.prototype, name, ([text]) => (count.lexed += (text as string).length));
  watch(Tokenizer.prototype, "inlineText", () => count.texts++);
  for (const name of ["emStrong", "del"]) watch(Tokenizer.prototype, name, ([text]) => (count.searched += (text as string).length));
  for (const name of ["createElement", "createTextNode"]) watch(Document.prototype, name, () => count.made++);
  for (const name of ["appendChild", "insertBefore", "removeChild"]) watch(Node.prototype, name, () => count.operations++);
  for (const name of ["append", "prepend", "replaceChildren", "setAttribute"]) watch(Element.prototype, name, () => count.operations++);
  for (const name of ["appendData", "replaceData", "remove", "replaceWith"]) watch(CharacterData.prototype, name, () => count.operations++);
  for (const name of ["remove", "replaceWith"]) watch(Element.prototype, name, () => count.operations++);
  try {
    run();
  } finally {
    undo.forEach((back) => back());
  }
  return count;
}
