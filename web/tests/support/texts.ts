/** Long answers of each kind, cut into pieces as a model sends them. */

const WORDS = "the a reader sees text and 文字 来了 while it arrives with parts that are long or short 所以 each of them 一个 counts".split(" ");

/** Return so many words; the same number gives the same words. */
function words(count: number, seed: number): string {
  let state = seed * 2654435761;
  const next = () => (state = (state * 1103515245 + 12345) & 0x7fffffff);
  return Array.from({ length: count }, () => WORDS[(next() >> 8) % WORDS.length]).join(" ");
}

const item = (n: number) => `- **${words(2, n)}**: ${words(9, n + 1)} \`${n}\`\n`;
const row = (n: number) => `| ${n} | ${words(3, n)} | **${words(1, n)}** | \`x${n}\` |\n`;
const line = (n: number) => `    value_${n} = call(${n}, "${words(2, n)}")  # ${n}\n`;
const sentence = (n: number) => `${words(9, n)}, **${words(2, n)}** \`${n}\` and *so*. `;

const target = (n: number) => `[${n}]: https://a.test/${n}\n`;

const repeat = (count: number, make: (n: number) => string) => Array.from({ length: count }, (_, n) => make(n)).join("");

const section = (n: number) =>
  `## ${words(3, n)}\n\n${repeat(3, (k) => sentence(n + k))}\n\n${repeat(4, (k) => item(n + k))}\n` +
  `\`\`\`python\n${repeat(5, line)}\`\`\`\n\n| a | b | c | d |\n|---|---|---|---|\n${repeat(3, (k) => row(n + k))}\n> ${words(12, n)}\n\n`;

/** Each kind makes a text of about so many pieces. */
export const KINDS: Record<string, (pieces: number) => string> = {
  "mixed text": (pieces) => grow(pieces, section),
  "one list": (pieces) => grow(pieces, item),
  "one table": (pieces) => `| n | a | b | c |\n|--:|---|---|---|\n${grow(pieces, row)}`,
  "one fence": (pieces) => `\`\`\`python\n${grow(pieces, line)}\`\`\`\n`,
  "one paragraph": (pieces) => grow(pieces, sentence),
  "one paragraph of formulas": (pieces) => grow(pieces, (n) => `\\(x_{${n % 10}}\\) `),
  "one quotation": (pieces) => grow(pieces, (n) => `> ${sentence(n)}\n`),
  "one item with many inside": (pieces) => `- all\n${grow(pieces, (n) => `  ${item(n)}`)}`,
};

/** Only what comes after a target shows that it is whole. */
const AFTER = "\nso it is\n\n";

/** Texts that no model means to write: very many blocks with next to nothing in them. */
export const HOSTILE: Record<string, (pieces: number) => string> = {
  "fences alone": (pieces) => grow(pieces, () => "```\n"),
  "breaks alone": (pieces) => grow(pieces, () => "---\n"),
  "links whose targets are told later": (pieces) => grow(pieces / 2, (n) => `see [${n}]\n\n`) + grow(pieces / 2, target) + AFTER,
  "links to one target that is told later": (pieces) => `${grow(pieces, () => "see [it]\n\n")}[it]: https://a.test/\n${AFTER}`,
  "notes alone": (pieces) => grow(pieces, (n) => `so[^${n}]\n\n`) + grow(pieces, (n) => `[^${n}]: note\n`),
  "a table of very many columns": (pieces) => wide(pieces, 5),
};

/** Return a table of so many pieces in so many lines. */
export function wide(pieces: number, lines: number): string {
  const columns = Math.ceil((pieces * PIECE) / 2 / lines);
  const line = (cell: string) => `|${`${cell}|`.repeat(columns)}\n`;
  return line("a") + line("-") + line("b").repeat(lines - 2);
}

const PIECE = 4;

function grow(pieces: number, make: (n: number) => string): string {
  let text = "";
  for (let n = 0; text.length < pieces * PIECE; n++) text += make(n);
  return text;
}

export function cut(text: string): string[] {
  return text.match(/[^]{1,4}/gu) ?? [];
}
