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
  "one quotation": (pieces) => grow(pieces, (n) => `> ${sentence(n)}\n`),
  "one item with many inside": (pieces) => `- all\n${grow(pieces, (n) => `  ${item(n)}`)}`,
};

const PIECE = 4;

function grow(pieces: number, make: (n: number) => string): string {
  let text = "";
  for (let n = 0; text.length < pieces * PIECE; n++) text += make(n);
  return text;
}

export function cut(text: string): string[] {
  return text.match(/[^]{1,4}/gu) ?? [];
}
