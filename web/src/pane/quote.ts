/** Text files in a question: quoted below the words, each in a fence with its name, as models read them best. */

interface Quote {
  readonly name: string;
  readonly text: string;
}

const OPEN = /^(`{3,}) file: ([^\n`]+)$/;

/** Return the words of a question with files below them. */
export function withQuotes(words: string, quotes: readonly Quote[]): string {
  return [words.trim(), ...quotes.map(fenced)].filter(Boolean).join("\n\n");
}

function fenced({ name, text }: Quote): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence} file: ${name.replace(/[\n`]/g, " ").trim() || "?"}\n${text.replace(/\n$/, "")}\n${fence}`;
}

/** Return the words, and the files that stand below them. */
export function split(content: string): { words: string; quotes: Quote[] } {
  const lines = content.split("\n");
  const first = lines.findIndex((line) => OPEN.test(line));
  if (first < 0) return { words: content, quotes: [] };
  const quotes: Quote[] = [];
  let at = first;
  while (at < lines.length) {
    const [, fence, name] = OPEN.exec(lines[at]!) ?? [];
    const end = fence ? lines.indexOf(fence, at + 1) : -1;
    // Words behind a file: not one of ours, so it is shown as it is.
    if (end < 0) return { words: content, quotes: [] };
    quotes.push({ name: name!, text: lines.slice(at + 1, end).join("\n") });
    at = end + 1;
    while (at < lines.length && !lines[at]) at++;
  }
  return { words: lines.slice(0, first).join("\n").trimEnd(), quotes };
}

export const linesOf = (text: string): number => text.replace(/\n$/, "").split("\n").length;
